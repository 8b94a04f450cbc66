import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { makeUpSamples } from '../../../evaluate/make-up.js';
import { MaasError } from '../../../errors.js';
import { openInputs, type Model } from '../../../ir/graph.js';
import { isNumeric, type NdArray } from '../../../ir/tensor.js';
import type { TextCodes } from '../../../ir/tfjs/split-text.js';
import { toTensor } from '../../../ir/tfjs/interpret.js';
import type { Tensor, Tf } from '../../../ir/tfjs/tf.js';
import { loadTfjs } from '../../../runtime/load-tfjs.js';
import { openSession, type Feeds } from '../../../runtime/session.js';
import { findPackage } from '../../../runtime/tfjs-package.js';

export interface Comparison {
  readonly text: string;
  readonly figures: { readonly rows: number; readonly difference: number } | null;
}

/** Rows of one run, where the model takes any number of them. */
const count = 3;
/** Farther away, as a share of a value or of 1, the two compute something else. */
const limit = 1e-3;

interface Slot {
  readonly name: string;
  readonly categories?: TextCodes['categories'][string];
  readonly labels?: readonly string[];
}

type Loader = Tf & {
  loadGraphModel(url: string): Promise<{
    execute(inputs: Record<string, Tensor>, outputs: string[]): Tensor | Tensor[];
    dispose(): void;
  }>;
};

/**
 * Runs a graph model that was written, where TensorFlow.js is here, on made-up rows, next to the model that it was made
 * from.
 * @param file The ONNX file.
 * @param folder Of the graph model.
 * @throws MaasError MAAS_VERIFY_FAILED when they give something else.
 */
export async function compareWithTensorFlow(
  model: Model,
  file: string,
  folder: string,
  places: Parameters<typeof findPackage>[0],
): Promise<Comparison> {
  const installed = findPackage(places);
  if (installed === undefined)
    return notCompared('TensorFlow.js is not here (`maas engines install tfjs-node` brings it)');
  let tf: Loader;
  let feeds: Feeds;
  try {
    tf = loadTfjs(installed, 1) as Loader;
    feeds = joinRows(model, (await makeUpSamples(model, file, 1)).slice(0, count));
  } catch (error) {
    return notCompared((error as Error).message.split('\n')[0]!);
  }
  const { inputs, outputs } = JSON.parse(await readFile(join(folder, 'signature.json'), 'utf8')) as Record<
    'inputs' | 'outputs',
    Slot[]
  >;
  const texts = withTexts(feeds, inputs);
  const wanted = await runOnce(file, texts);
  const loaded = await tf.loadGraphModel(pathToFileURL(join(folder, 'model.json')).href);
  const given = tf.tidy(() => {
    const coded = Object.fromEntries(
      inputs.map(({ name, categories }) => [name, toTensor(tf, encode(texts[name]!, categories))]),
    );
    const made = loaded.execute(
      coded,
      outputs.map(({ name }) => name),
    );
    return (Array.isArray(made) ? made : [made]).map((tensor) => tensor.dataSync());
  });
  loaded.dispose();
  const differences = outputs.map(({ name, labels }, at) => {
    const values = Array.from(given[at]!, (value) => labels?.[value] ?? value);
    const away = distance(Array.from(wanted[name]!.data as ArrayLike<unknown>), values);
    if (away <= limit) return away;
    throw new MaasError(
      'MAAS_VERIFY_FAILED',
      `TensorFlow.js gives another ${name} than onnxruntime: ${away} away`,
      {
        hint: 'Do not use what was written; please report this with the model.',
      },
    );
  });
  const rows = Object.values(feeds)[0]?.dims[0] ?? 1;
  const difference = Math.max(0, ...differences);
  return {
    text: `TensorFlow.js gives the same: at most ${difference.toExponential(1)} away over made-up rows`,
    figures: { rows, difference },
  };
}

async function runOnce(file: string, feeds: Feeds) {
  const session = await openSession(file);
  try {
    return await session.run(feeds);
  } finally {
    await session.close();
  }
}

function notCompared(why: string): Comparison {
  return { text: `Not compared: ${why}.`, figures: null };
}

/** The largest difference as a share of the value, or of 1 where that is more; texts are equal or not. */
function distance(wanted: readonly unknown[], given: readonly unknown[]): number {
  if (wanted.length !== given.length) return Infinity;
  return wanted.reduce<number>((most, value, at) => {
    if (typeof value === 'string') return value === given[at] ? most : Infinity;
    const [a, b] = [Number(value), Number(given[at])];
    if (Object.is(a, b) || a === b) return most;
    const away = Math.abs(a - b) / Math.max(1, Math.abs(a));
    return Number.isNaN(away) ? Infinity : Math.max(most, away);
  }, 0);
}

/** Samples of one row as rows of one, where the first size of every input is open. */
function joinRows(model: Model, samples: readonly Feeds[]): Feeds {
  const inputs = openInputs(model.graph);
  if (!inputs.every(({ shape }) => typeof shape?.[0] === 'string')) return samples[0]!;
  return Object.fromEntries(
    inputs.map(({ name }) => {
      const parts = samples.map((sample) => sample[name]!);
      const { dtype, dims } = parts[0]!;
      const values = parts.flatMap(({ data }) => Array.from(data as ArrayLike<number>));
      const data = isNumeric(dtype) ? (parts[0]!.data as Float32Array).constructor : undefined;
      const joined = data ? (data as typeof Float32Array).from(values) : values;
      return [name, { dtype, dims: [parts.length, ...dims.slice(1)], data: joined } as NdArray];
    }),
  );
}

/** Texts that the model knows, one after another, and one that it does not. */
function withTexts(feeds: Feeds, inputs: readonly Slot[]): Feeds {
  const filled = { ...feeds };
  for (const { name, categories } of inputs) {
    if (!categories) continue;
    const known = [...Object.keys(categories.codes), '?'];
    const { dims, data } = feeds[name]!;
    filled[name] = {
      dtype: 'string',
      dims,
      data: Array.from(data as string[], (_, at) => known[at % known.length]!),
    };
  }
  return filled;
}

function encode(array: NdArray, categories: Slot['categories']): NdArray {
  if (!categories) return array;
  const { codes, other } = categories;
  const numbers = Int32Array.from(array.data as string[], (text) =>
    Object.hasOwn(codes, text) ? codes[text]! : other,
  );
  return { dtype: 'int32', dims: array.dims, data: numbers };
}
