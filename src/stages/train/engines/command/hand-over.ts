import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dataset, Table } from '../../../../data/index.js';
import type { Column } from '../../../../data/dataset.js';
import { partsOf, sliceRows } from '../../../../data/rows.js';
import { asDiskError } from '../../../../errors.js';
import { GraphBuilder } from '../../../../ir/builder.js';
import type { Model } from '../../../../ir/graph.js';
import { encodeModel } from '../../../../ir/onnx/save.js';
import type { NdArray } from '../../../../ir/tensor.js';
import type { TrainOrder } from '../../../../plugin/api.js';
import { openSession, type Session } from '../../../../runtime/session.js';
import { emitFeatures, featureOpsets } from '../../emit-features.js';
import { writeNpy } from './npy.js';
import type { CommandOptions } from './options.js';

/** Where the trainer finds things, and leaves them. */
export interface Folders {
  readonly data: string;
  readonly out: string;
  /** Survives kills. */
  readonly checkpoints: string;
  readonly config: string;
  readonly progress: string;
  readonly log: string;
}

/** Raise it when a trainer that was written for the last one would no longer work. */
const protocol = 1;

/** Rows that are encoded at a time. */
const chunk = 4096;

/**
 * Lays out what the trainer reads: the train and validation splits as NPY files with a schema.json, and its config. The
 * test split stays with maas, which measures on it.
 */
export async function handOver(order: TrainOrder, options: CommandOptions): Promise<Folders> {
  const { work, dataset } = order;
  const folders: Folders = {
    data: join(work, 'data'),
    out: join(work, 'out'),
    checkpoints: join(work, 'checkpoints'),
    config: join(work, 'config.json'),
    progress: join(work, 'progress.jsonl'),
    log: join(work, 'trainer.log'),
  };
  try {
    // A model that a run before this one left half done is not this one's.
    await rm(folders.out, { recursive: true, force: true });
    for (const folder of [folders.out, folders.checkpoints]) await mkdir(folder, { recursive: true });
    await writeFile(folders.progress, '', { flag: 'a' });
    await writeFile(folders.config, `${JSON.stringify(describeJob(order, options), undefined, 2)}\n`);
    await writeData(folders.data, dataset, options.preprocess);
  } catch (error) {
    throw asDiskError(error, 'cannot hand the data over');
  }
  return folders;
}

/** What the trainer's processes find in their environment. */
export function environmentOf(folders: Folders, { seed, threads }: TrainOrder): Record<string, string> {
  return {
    MAAS_DATA: folders.data,
    MAAS_OUT: folders.out,
    MAAS_CHECKPOINTS: folders.checkpoints,
    MAAS_CONFIG: folders.config,
    MAAS_PROGRESS: folders.progress,
    MAAS_SEED: String(seed),
    MAAS_THREADS: String(threads),
  };
}

function describeJob(order: TrainOrder, { options }: CommandOptions): object {
  const { dataset, epochs, batchSize, seed, threads, optimizer, loss, schedule, clip, earlyStopping } = order;
  const { name, task } = dataset.signature;
  const fit = { epochs, batchSize, seed, threads, optimizer, loss, schedule, clip, earlyStopping };
  return { protocol, name, task, ...fit, options };
}

async function writeData(folder: string, dataset: Dataset, preprocess: boolean): Promise<void> {
  const { signature, splits } = dataset;
  const encoder = preprocess ? encodingOf(dataset) : undefined;
  const session = encoder && (await openSession(encodeModel(encoder)));
  try {
    const files: Record<string, object> = {};
    for (const split of ['train', 'validation'] as const) {
      const table = splits[split];
      await mkdir(join(folder, split), { recursive: true });
      const arrays = session ? encodedArrays(session, table) : plainArrays(table.inputs);
      const all = [...(await arrays), ...plainArrays({ target: table.target })];
      files[split] = { rows: table.rows, arrays: await writeArrays(folder, split, all) };
    }
    const { name, labels } = signature.target;
    const schema = {
      schemaVersion: 1,
      task: signature.task,
      target: { name, ...(labels && { labels }) },
      features: signature.features,
      splits: files,
    };
    await writeFile(join(folder, 'schema.json'), `${JSON.stringify(schema, undefined, 2)}\n`);
  } finally {
    await session?.close();
  }
}

/** An array by its name, with the parts that it consists of. */
interface Named extends Pick<NdArray, 'dtype' | 'dims'> {
  readonly name: string;
  readonly parts: () => Iterable<NdArray> | AsyncIterable<NdArray>;
}

async function writeArrays(
  folder: string,
  split: string,
  arrays: readonly Named[],
): Promise<Record<string, object>> {
  const written: Record<string, object> = {};
  for (const [index, { name, dtype, dims, parts }] of arrays.entries()) {
    // Names of columns may be anything; those of files may not.
    const file = `${split}/${/^[\w-]+$/.test(name) ? name : `column-${index}`}.npy`;
    await writeNpy(join(folder, file), { dtype, dims }, parts);
    written[name] = { file, dtype, shape: dims };
  }
  return written;
}

function plainArrays(columns: Readonly<Record<string, Column>>): Named[] {
  return Object.entries(columns).map(([name, column]) => {
    const { dtype, dims } = column;
    return { name, dtype, dims, parts: () => partsOf(column) };
  });
}

/** The rows as one matrix `features`, as the model's own preprocessing will make them. */
async function encodedArrays(session: Session, table: Table): Promise<Named[]> {
  const name = session.outputs[0]!;
  const run = async (start: number, end: number): Promise<NdArray> =>
    (await session.run(sliceRows(table.inputs, start, end)))[name]!;
  const first = await run(0, Math.min(1, table.rows));
  async function* parts(): AsyncGenerator<NdArray> {
    for (let start = 0; start < table.rows; start += chunk) {
      yield await run(start, Math.min(start + chunk, table.rows));
    }
  }
  const dims = [table.rows, ...first.dims.slice(1)];
  return [{ name: 'features', dtype: first.dtype, dims, parts }];
}

/** What `preprocess` puts before a model. */
function encodingOf(dataset: Dataset): Model {
  const { signature } = dataset;
  const g = new GraphBuilder(signature.name);
  for (const { name, dtype, shape } of signature.inputs) g.input(name, dtype, shape);
  g.output(emitFeatures(g, dataset));
  return {
    irVersion: 10,
    opsets: featureOpsets,
    producer: 'maas',
    graph: g.build(),
    metadata: {},
  };
}
