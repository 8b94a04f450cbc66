import { realpath, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ModelSource } from '../../plugin/api.js';
import type { SpareThread } from '../../runtime/thread/spare-thread.js';
import { largestToTry } from './placement.js';

export interface SpareWishes {
  /** As far as it is known yet how many there will be. Default `auto`. */
  readonly workers?: number | 'auto';
  /** Folder for what can be made again. What was prepared of the model there is opened at once, as it most likely will be. */
  readonly cache?: string;
}

/** A thread takes as long to start as all the rest: where there will be one, both at once. */
export async function startSpare(
  source: ModelSource,
  { workers = 'auto', cache }: SpareWishes = {},
): Promise<SpareThread | undefined> {
  if (source.kind === 'repository' || workers === 0) return undefined;
  const path = await modelOf(source);
  const { size } = await stat(path).catch(() => ({ size: 0 }));
  if (workers === 'auto' && size <= largestToTry) return undefined;
  const { SpareThread } = await import('../../runtime/thread/spare-thread.js');
  const spare = new SpareThread();
  // What goes wrong is told by whoever opens the model for good.
  if (cache !== undefined && size > largestToTry) openAhead(spare, cache, path).catch(() => undefined);
  return spare;
}

/** Where the model will be looked for, should it be there. */
async function modelOf({ kind, path }: ModelSource): Promise<string> {
  return kind === 'file' ? resolve(path) : join(await realpath(path).catch(() => path), 'model.onnx');
}

async function openAhead(spare: SpareThread, cache: string, path: string): Promise<void> {
  const { Preparation } = await import('./preparation.js');
  const preparation = await Preparation.open(cache, path);
  if (preparation.path === undefined) return;
  // As a worker opens it, with as many threads as it has where the config says nothing.
  await spare.openAhead(preparation.path, { threads: 1, optimization: 'disabled' });
  await preparation.survived();
}
