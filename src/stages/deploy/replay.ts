import { performance } from 'node:perf_hooks';
import { headsOf, type Head } from '../../data/heads.js';
import type { Signature } from '../../data/signature.js';
import { MaasError } from '../../errors.js';
import { ask, type Door } from './ask.js';
import type { Golden, PlainArray } from './golden.js';

/** The server that golden rows are replayed against. */
export interface Replayed extends Door {
  readonly model: string;
  readonly digest: string;
}

export interface Replay {
  /** Rows that were sent, by each way. */
  readonly rows: number;
  /** Largest |got − expected| / (1 + |expected|) over all numbers. */
  readonly maxError: number;
  /** Median time of one row through `/v2/models/{name}/infer`, in milliseconds. */
  readonly medianMs: number;
}

/** Names of the Open Inference Protocol for the types that models here take and give. */
const datatypes: Readonly<Record<string, string>> = {
  float32: 'FP32',
  float64: 'FP64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  bool: 'BOOL',
  string: 'BYTES',
};

/**
 * Sends every golden row, one at a time, through the Open Inference Protocol and through `/predict`, and compares.
 * @throws MaasError MAAS_VERIFY_FAILED at the first answer that differs, with row, output, expected and got.
 */
export async function replayGolden(
  server: Replayed,
  golden: Golden,
  signature: Pick<Signature, 'task' | 'target' | 'others'>,
): Promise<Replay> {
  const heads = headsOf(signature);
  const times: number[] = [];
  let maxError = 0;
  for (const [row, raw] of golden.rows.entries()) {
    const expected = slice(golden.outputs, row);
    const inputs = slice(golden.inputs, row);
    // The protocol's JSON has no NaN; /predict takes null.
    if (!hasGap(inputs)) {
      const start = performance.now();
      const inferred = await infer(server, inputs);
      times.push(performance.now() - start);
      maxError = Math.max(maxError, compare(row, '/v2 infer', expected, inferred, golden.tolerance));
    }

    const predicted = await send(server, '/predict', raw);
    maxError = Math.max(
      maxError,
      compare(row, '/predict', expected, listPredictions(predicted, heads), golden.tolerance),
    );
  }
  times.sort((a, b) => a - b);
  return { rows: golden.rows.length, maxError, medianMs: times[Math.floor(times.length / 2)] ?? 0 };
}

/** Sends JSON and reads JSON. @throws MaasError MAAS_VERIFY_FAILED for any status but 200. */
export async function send(server: Door, path: string, body?: unknown): Promise<unknown> {
  const { status, text } = await ask(server, path, body);
  if (status !== 200) {
    throw new MaasError('MAAS_VERIFY_FAILED', `the candidate answers ${path} with ${status}: ${text}`);
  }
  return JSON.parse(text);
}

interface InferResponse {
  readonly model_version?: string;
  readonly outputs: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly data: unknown[];
  }[];
}

async function infer(
  server: Replayed,
  inputs: Readonly<Record<string, PlainArray>>,
): Promise<Record<string, unknown[]>> {
  const path = `/v2/models/${encodeURIComponent(server.model)}/infer`;
  const body = {
    inputs: Object.entries(inputs).map(([name, { dtype, dims, data }]) => ({
      name,
      shape: dims,
      datatype: datatypes[dtype],
      data,
    })),
  };
  const answer = (await send(server, path, body)) as InferResponse;
  if (answer.model_version !== server.digest) {
    throw new MaasError(
      'MAAS_VERIFY_FAILED',
      `the candidate answers with model version ${answer.model_version ?? 'unknown'} instead of ${server.digest}`,
    );
  }
  return Object.fromEntries(answer.outputs.map(({ name, data }) => [name, data]));
}

/** Those of several targets are by the names of these. */
function listPredictions(predicted: unknown, heads: readonly Head[]): Record<string, unknown[]> {
  if (heads.length === 1) return listPrediction(predicted, heads[0]!.labels ?? []);
  const each = heads.flatMap(({ name, labels = [] }) => {
    const own = (predicted as Record<string, unknown>)[name];
    const listed = Object.entries(listPrediction(own ?? {}, labels));
    return listed.map(([member, values]) => [`${name}.${member}`, values] as const);
  });
  return Object.fromEntries(each);
}

/** The members of a prediction, each as a row of the output that it comes from. */
function listPrediction(prediction: unknown, labels: readonly string[]): Record<string, unknown[]> {
  return Object.fromEntries(
    Object.entries(prediction as Record<string, unknown>).map(([name, value]) => [
      name,
      // Probabilities by label. JSON keeps no order among members whose names are whole numbers.
      isRecord(value) ? labels.map((label) => value[label]) : [value],
    ]),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Largest error. @throws MaasError MAAS_VERIFY_FAILED when the answer is further off than `tolerance` allows. */
function compare(
  row: number,
  way: string,
  expected: Readonly<Record<string, PlainArray>>,
  got: Readonly<Record<string, readonly unknown[]>>,
  tolerance: number,
): number {
  let worst = 0;
  for (const [output, { data }] of Object.entries(expected)) {
    const values = got[output] ?? [];
    const differs = (): MaasError =>
      new MaasError(
        'MAAS_VERIFY_FAILED',
        `golden row ${row} through ${way}: output "${output}" is ${JSON.stringify(values)}, expected ${JSON.stringify(data)}`,
        { details: { row, way, output, expected: data, got: values } },
      );
    if (values.length !== data.length) throw differs();
    for (const [index, wanted] of data.entries()) {
      const error = distance(wanted, values[index]);
      if (!(error <= tolerance)) throw differs();
      worst = Math.max(worst, error);
    }
  }
  return worst;
}

/** 0 for equal values, the error relative to 1 + |wanted| for numbers, else infinite. */
function distance(wanted: number | string, got: unknown): number {
  if (wanted === got) return 0;
  if (typeof wanted !== 'number' || typeof got !== 'number') return Infinity;
  return Math.abs(got - wanted) / (1 + Math.abs(wanted));
}

/** Whether a number is missing: NaN, which JSON writes as null. */
function hasGap(inputs: Readonly<Record<string, PlainArray>>): boolean {
  return Object.values(inputs).some(({ data }) =>
    (data as readonly unknown[]).some((value) => value === null || Number.isNaN(value)),
  );
}

/** Row `row` of every array, as a batch of one. */
function slice(arrays: Readonly<Record<string, PlainArray>>, row: number): Record<string, PlainArray> {
  return Object.fromEntries(
    Object.entries(arrays).map(([name, { dtype, dims, data }]) => {
      const width = data.length / dims[0]!;
      return [name, { dtype, dims: [1, ...dims.slice(1)], data: data.slice(row * width, (row + 1) * width) }];
    }),
  );
}
