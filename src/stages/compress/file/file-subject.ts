import { readSamples } from '../../../data/samples.js';
import type { Change } from '../../../evaluate/index.js';
import { agreement, signalToNoise } from '../../../evaluate/metrics.js';
import { MaasError } from '../../../errors.js';
import { openInputs, type Graph, type Model } from '../../../ir/graph.js';
import { loadModel, sizeOnDisk } from '../../../ir/onnx/load.js';
import type { NdArray } from '../../../ir/tensor.js';
import { readInstructionSet, type InstructionSet } from '../../../runtime/cpu.js';
import { giveWay } from '../../../runtime/give-way.js';
import { openSession, type Feeds } from '../../../runtime/session.js';
import { roundFigures } from '../report.js';
import type { Subject } from '../subject.js';
import { fitSamples } from './fit-samples.js';
import { makeUpSamples } from '../../../evaluate/make-up.js';

export interface FileSubject extends Subject {
  /** What the person should know of the data. */
  readonly notes: readonly string[];
}

/** More runs than this tell nothing new. */
const mostJudged = 256;

/**
 * A model from a file, judged by what it gave before: every second sample for passes to look at, the others for the
 * gates. Without data it is judged on made-up inputs, and passes have none.
 * @throws MaasError MAAS_MODEL_INVALID, MAAS_DATA_*.
 */
export async function openFileSubject(
  path: string,
  data: string | undefined,
  { seed, target }: { readonly seed: number; readonly target?: InstructionSet | undefined },
): Promise<FileSubject> {
  const model = await loadModel(path);
  const dealt = await deal(model, path, data, seed);
  const { calibration, notes } = dealt;
  let { judged } = dealt;
  let reference: Outputs[] | undefined;
  return {
    path,
    model,
    bytes: await sizeOnDisk(path, model),
    notes,
    context: {
      seed,
      target: target ?? (await readInstructionSet()),
      calibration: (samples) => Promise.resolve(calibration.slice(0, samples)),
    },
    async judge(other, { rows = Infinity, signal } = {}) {
      const { graph } = await loadModel(other);
      if (!judged.every((feeds) => takes(graph, feeds))) {
        judged = await adapt(judged, other, data, seed);
        reference = undefined;
      }
      const asked = judged.slice(0, rows);
      if (reference === undefined || reference.length < asked.length)
        reference = await runAll(path, asked, signal);
      const { difference, changed } = compareOutputs(
        reference.slice(0, asked.length),
        await runAll(other, asked, signal),
        data !== undefined,
      );
      return {
        rows: asked.length,
        isWhole: asked.length === judged.length,
        task: undefined,
        before: {},
        after: {},
        difference: roundFigures(difference),
        ...(other !== path && changed && { paired: { agreement: changed } }),
      };
    },
    probe: () => judged[0]!,
    requests: () => [{ batch: judged[0] ? rowsOf(judged[0]) : 1, feeds: judged[0]! }],
  };
}

async function deal(
  model: Model,
  path: string,
  data: string | undefined,
  seed: number,
): Promise<{ calibration: Feeds[]; judged: Feeds[]; notes: string[] }> {
  if (data === undefined) {
    const judged = await makeUpSamples(model, path, seed);
    const note = 'no --calibration data: judged on made-up inputs, and passes that need rows were left out';
    return { calibration: [], judged, notes: [note] };
  }
  const samples = (await readSamples(data)).flatMap((set) => fitSamples(set, model.graph, data));
  if (samples.length === 1) {
    return {
      calibration: samples,
      judged: samples,
      notes: ['one sample: calibrated and judged on the same'],
    };
  }
  const judged = samples.filter((_, at) => at % 2 === 1).slice(0, mostJudged);
  return { calibration: samples.filter((_, at) => at % 2 === 0), judged, notes: [] };
}

function takes(graph: Graph, feeds: Feeds): boolean {
  return openInputs(graph).every(({ name, shape }) =>
    (shape ?? []).every((dim, axis) => typeof dim === 'string' || dim === feeds[name]?.dims[axis]),
  );
}

/**
 * Inputs for a model that takes some shapes only, where the one that it was made from took others too.
 * @throws MaasError MAAS_DATA_VALUE when there is none among the samples.
 */
async function adapt(
  judged: readonly Feeds[],
  path: string,
  data: string | undefined,
  seed: number,
): Promise<Feeds[]> {
  const model = await loadModel(path);
  if (data === undefined) return makeUpSamples(model, path, seed);
  const fitting = judged.filter((feeds) => takes(model.graph, feeds));
  if (fitting.length > 0) return fitting;
  const wanted = openInputs(model.graph).map(({ name, shape }) => `${name} [${shape?.join(', ') ?? '…'}]`);
  throw new MaasError('MAAS_DATA_VALUE', `no sample fits the sizes that were fixed: ${wanted.join(', ')}`, {
    place: { file: data },
    hint: 'Fix the sizes of your samples, or give samples of these sizes.',
  });
}

function rowsOf(feeds: Feeds): number {
  return Object.values(feeds)[0]?.dims[0] ?? 1;
}

type Outputs = Readonly<Record<string, NdArray>>;

async function runAll(path: string, samples: readonly Feeds[], signal?: AbortSignal): Promise<Outputs[]> {
  const session = await openSession(path);
  try {
    const outputs: Outputs[] = [];
    for (const feeds of samples) {
      await giveWay(signal);
      outputs.push(await session.run(feeds));
    }
    return outputs;
  } finally {
    await session.close();
  }
}

/** Outputs that look like scores of classes have so many columns at least. */
const leastClasses = 2;

/**
 * The least signal to noise of the outputs, and how often the largest score of a row is where it was. On made-up inputs
 * the latter means nothing.
 */
function compareOutputs(
  one: readonly Outputs[],
  two: readonly Outputs[],
  isReal: boolean,
): { difference: Record<string, number>; changed: Change | undefined } {
  const ratios: number[] = [];
  const picks: [string[], string[]] = [[], []];
  for (const name of Object.keys(one[0] ?? {})) {
    const values = [one, two].map((all) => all.flatMap((outputs) => outputs[name] ?? []));
    const [before, after] = values.map((arrays) =>
      arrays.flatMap(({ data }) => Array.from(data as ArrayLike<unknown>, Number)),
    );
    const isFloat = values[0]![0]!.dtype === 'float32' || values[0]![0]!.dtype === 'float64';
    if (isFloat) ratios.push(signalToNoise(before!, after!));
    const columns = values[0]![0]!.dims.at(-1) ?? 0;
    if (!isFloat || columns < leastClasses) continue;
    picks[0].push(...picksOf(before!, columns));
    picks[1].push(...picksOf(after!, columns));
  }
  const rows = isReal ? picks[0].length : 0;
  const lost = picks[0].filter((pick, row) => pick !== picks[1][row]).length;
  return {
    difference: {
      ...(rows > 0 && { agreement: agreement(...picks) }),
      signalToNoise: ratios.length > 0 ? Math.min(...ratios) : Infinity,
    },
    changed: rows > 0 ? { rows, lost, gained: 0 } : undefined,
  };
}

/** The column of the largest value in each row. */
function picksOf(values: readonly number[], columns: number): string[] {
  return Array.from({ length: values.length / columns }, (_, row) => {
    let best = 0;
    for (let at = 1; at < columns; at++) {
      if (values[row * columns + at]! > values[row * columns + best]!) best = at;
    }
    return String(best);
  });
}
