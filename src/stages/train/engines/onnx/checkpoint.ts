import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf } from '../../../../artifacts/index.js';
import { asDiskError, MaasError } from '../../../../errors.js';
import { encodeModel } from '../../../../ir/onnx/save.js';
import type { NdArray } from '../../../../ir/tensor.js';
import type { TrainJob, TrainOutcome } from '../../../../plugin/api.js';
import type { Ranks } from '../../../../runtime/mpi/join-ranks.js';
import { runtimeVersion } from '../../../../runtime/version.js';
import type { CompiledStep } from './compile-step.js';
import { decodeTensors, encodeTensors } from '../../../../ir/safetensors.js';
import type { State } from './stepper.js';

/** Where a training stands: everything that the rest of it depends on, beside the job. */
export interface Standing {
  /** Epoch in progress, from 0. */
  readonly epoch: number;
  /** Batches of it that are done. */
  readonly batch: number;
  /** Steps that are done, over all epochs. */
  readonly step: number;
  /** Sum of the loss over the rows of the epoch so far. */
  readonly lossSum: number;
  readonly history: TrainOutcome['history'];
  /** Weights of the best epoch so far, if they are to be kept. */
  readonly best?: State | undefined;
}

export interface Checkpoint extends Standing {
  readonly state: State;
}

export interface Checkpoints {
  /** The last checkpoint of this very job; or why the one that is there was left aside, if one is. */
  read(): Promise<{ readonly checkpoint?: Checkpoint; readonly note?: string }>;
  /** Writes a checkpoint whole or not at all. */
  write(checkpoint: Checkpoint): Promise<void>;
}

/**
 * Checkpoints of a job in its work folder. They hold for exactly this graph, data, seed and runtime: under any other
 * the rest of the training would not end in the weights of an unbroken one.
 */
export function openCheckpoints(job: TrainJob, compiled: CompiledStep, backend?: string): Checkpoints {
  const path = join(job.work, 'checkpoint.safetensors');
  const identity = identify(job, compiled, backend);
  return {
    async read() {
      const { ranks } = job;
      if (ranks) await compareRanks(ranks, identity);
      const bytes = (ranks?.rank ?? 0) === 0 ? await readBytes(path) : undefined;
      const shared = ranks ? await ranks.share(bytes ?? new Uint8Array(0)) : bytes;
      if (shared === undefined || (ranks && shared.length === 0)) return {};
      const file = decodeTensors(shared);
      if (!file) return { note: 'the checkpoint is damaged: training starts anew' };
      if (file.metadata['identity'] !== identity) {
        return { note: 'the checkpoint is of another job or runtime: training starts anew' };
      }
      const standing = JSON.parse(file.metadata['standing']!) as Standing;
      return { checkpoint: { ...standing, ...takeApart(file.tensors) } };
    },
    async write({ state, best = {}, ...standing }) {
      const kept = Object.entries(best).map(([name, weight]) => [`${bestPrefix}${name}`, weight] as const);
      const tensors = { ...state, ...Object.fromEntries(kept) } as Record<string, NdArray<'float32'>>;
      const parts = encodeTensors({ tensors, metadata: { identity, standing: JSON.stringify(standing) } });
      try {
        await mkdir(job.work, { recursive: true });
        await writeWhole(path, parts);
      } catch (error) {
        throw asDiskError(error, `cannot write ${path}`);
      }
    },
  };
}

/** The bytes of a file, if there is one. */
async function readBytes(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw asDiskError(error, `cannot read ${path}`);
  }
}

/** @throws MaasError MAAS_RANKS_FAILED on a rank that has another graph, data or runtime than rank 0. */
async function compareRanks(ranks: Ranks, identity: string): Promise<void> {
  const first = Buffer.from(await ranks.share(Buffer.from(identity))).toString();
  if (first === identity) return;
  throw new MaasError(
    'MAAS_RANKS_FAILED',
    `rank ${ranks.rank} has another model, data or program than rank 0`,
    {
      hint: 'All hosts need the same data, and the same versions of maas and onnxruntime, at the same paths.',
    },
  );
}

/** Before the names of weights that are kept; those of the training itself have none. */
const bestPrefix = 'best:';

function takeApart(tensors: State): { readonly state: State; readonly best?: State } {
  const entries = Object.entries(tensors);
  const best = entries.flatMap(([name, weight]) =>
    name.startsWith(bestPrefix) ? [[name.slice(bestPrefix.length), weight] as const] : [],
  );
  const state = Object.fromEntries(entries.filter(([name]) => !name.startsWith(bestPrefix)));
  return best.length === 0 ? { state } : { state, best: Object.fromEntries(best) };
}

function identify(
  job: TrainJob,
  { model, preparation, carried, masks }: CompiledStep,
  backend: string | undefined,
): string {
  const { seed, epochs, batchSize, threads, optimizer, schedule, earlyStopping, metrics, dataset } = job;
  const { accumulate, ema, sampling, augment } = job;
  return digestOf({
    graph: digestOf(encodeModel(model)),
    ...(preparation && { preparation: digestOf(encodeModel(preparation)) }),
    initial: carried.map(({ input, initial, fill }) => {
      if (fill !== undefined) return [input, fill];
      const { data } = initial();
      return [input, digestOf(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))];
    }),
    masks: masks.map(({ name, rate }) => [name, rate]),
    job: {
      ...{ seed, epochs, batchSize, threads, optimizer, schedule, earlyStopping, metrics },
      ...{ accumulate, ema, sampling, augment },
      data: dataset.digest,
    },
    runtime: [runtimeVersion(), process.platform, process.arch],
    ...(backend !== undefined && { backend }),
  });
}

async function writeWhole(path: string, parts: readonly Uint8Array[]): Promise<void> {
  // Always the same draft: one that a kill left behind is overwritten by the next.
  const draft = `${path}.tmp`;
  const file = await open(draft, 'w');
  try {
    for (const part of parts) await file.writeFile(part);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}
