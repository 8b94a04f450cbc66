import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Table } from '../../data/dataset.js';
import { gatherRows, lineOf } from '../../data/rows.js';
import type { Signature } from '../../data/signature.js';
import { MaasError } from '../../errors.js';
import { sizeOf, type DType, type NdArray } from '../../ir/tensor.js';
import { openSession } from '../../runtime/session.js';
import { joinRows, pickRows, type RawRow, takeRow, toPlain, toRawRow } from './rows.js';

/** A tensor as JSON, row-major. */
export interface PlainArray {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: readonly (number | string)[];
}

/**
 * `golden.json` of a release: what its model answers to some rows that it was not trained on. Row i of every part is the
 * same row. Outputs are those of each row by itself: where activations are quantized over a whole batch, an answer may
 * depend on the other rows in it.
 */
export interface Golden {
  /** As a caller of `/predict` writes them. */
  readonly rows: readonly RawRow[];
  readonly inputs: Readonly<Record<string, PlainArray>>;
  readonly outputs: Readonly<Record<string, PlainArray>>;
  /** An output x may be off by tolerance × (1 + |x|); text may not be off at all. */
  readonly tolerance: number;
}

const maxRows = 16;
/** Numbers of all rows, so that the file stays small. */
const maxNumbers = 2 ** 20;
/** Far above what another CPU or thread count does to float32, far below what a wrong weight does. */
const floatTolerance = 1e-4;
/** No noise is a reason to let answers pass that are further off than this. */
const greatestTolerance = 0.05;

/** What rounds activations to integers while the model runs. */
const rounding = new Set(['QuantizeLinear', 'DynamicQuantizeLinear', 'MatMulInteger', 'ConvInteger']);

/**
 * How far an answer may be off where the release is served. What is rounded at run time may be rounded the other way on
 * another CPU, whose float32 differs in the last bits: by no more than the noise that rounding itself was measured to make
 * when the model was compressed, which the model's manifest states.
 * @param signalToNoise In dB, of the compressed model's outputs against those of the one it was made from.
 * @param values Outputs of the model.
 */
export function toleranceOf(signalToNoise: unknown, isRounded: boolean, values: readonly number[]): number {
  if (!isRounded || typeof signalToNoise !== 'number' || values.length === 0) return floatTolerance;
  const power = values.reduce((sum, value) => sum + value * value, 0) / values.length;
  const noise = Math.sqrt(power) * 10 ** (-signalToNoise / 20);
  // A few digits: the same on every machine.
  return Number(Math.min(greatestTolerance, Math.max(floatTolerance, noise)).toPrecision(2));
}

/** Whether a model rounds activations while it runs. */
export async function roundsAtRunTime(modelFile: string): Promise<boolean> {
  const { graph } = await (await import('../../ir/onnx/load.js')).loadModel(modelFile);
  return graph.nodes.some(({ op }) => rounding.has(op));
}

/**
 * Runs the model on a fixed choice of `table`'s rows, one at a time.
 * @param signalToNoise Of its compression, where it was compressed; see `toleranceOf`.
 * @throws MaasError MAAS_MODEL_INVALID when the model cannot be opened or answers with something that is not a number.
 */
export async function makeGolden(
  modelFile: string,
  signature: Signature,
  table: Table,
  signalToNoise?: unknown,
): Promise<Golden> {
  const width = Object.values(table.inputs).reduce((sum, { dims }) => sum + sizeOf(dims.slice(1)), 0);
  const picked = pickRows(table, Math.max(1, Math.min(maxRows, Math.floor(maxNumbers / width))));
  const session = await openSession(modelFile);
  try {
    const fetches = signature.outputs.map((output) => output.name);
    const inputs = gatherRows(table.inputs, picked);
    const answers: Record<string, NdArray>[] = [];
    for (const [index, row] of picked.entries()) {
      const outputs = await session.run(takeRow(inputs, index), fetches);
      refuseNonFinite(outputs, modelFile, lineOf(table, row));
      answers.push(outputs);
    }
    const outputs = plain(joinRows(answers));
    const values = Object.values(outputs).flatMap(({ data }) =>
      data.filter((value): value is number => typeof value === 'number'),
    );
    const isRounded = typeof signalToNoise === 'number' && (await roundsAtRunTime(modelFile));
    return {
      rows: picked.map((_, index) => toRawRow(signature.features, inputs, index)),
      inputs: plain(inputs),
      outputs,
      tolerance: toleranceOf(signalToNoise, isRounded, values),
    };
  } finally {
    await session.close();
  }
}

export async function readGolden(release: string): Promise<Golden> {
  return JSON.parse(await readFile(join(release, 'golden.json'), 'utf8')) as Golden;
}

function refuseNonFinite(outputs: Readonly<Record<string, NdArray>>, file: string, line: number): void {
  for (const [name, { dtype, data }] of Object.entries(outputs)) {
    const values: Iterable<number | bigint | string> = data;
    if (dtype === 'string' || [...values].every((value) => Number.isFinite(Number(value)))) continue;
    throw new MaasError(
      'MAAS_MODEL_INVALID',
      `the model's output "${name}" is not a finite number for the held-out row in line ${line} of the data`,
      { place: { file }, hint: 'Train again with a lower learning rate, or compress less.' },
    );
  }
}

function plain(arrays: Readonly<Record<string, NdArray>>): Record<string, PlainArray> {
  return Object.fromEntries(
    Object.entries(arrays).map(([name, array]) => [
      name,
      { dtype: array.dtype, dims: array.dims, data: toPlain(array) },
    ]),
  );
}
