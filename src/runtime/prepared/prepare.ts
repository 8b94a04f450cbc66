import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { constants, setPriority } from 'node:os';
import { forkOwn } from '../fork-own.js';
import type { Feeds } from '../session.js';
import { refuse } from './place.js';

/** What the process that prepares a model is told. */
export interface PrepareOrder {
  /** The model's file. */
  readonly path: string;
  /** Folder that is made. */
  readonly place: string;
  /** Both models must give the same bits for these. */
  readonly requests: readonly Feeds[];
}

export interface PrepareReport {
  readonly failed?: string;
  /** The same would happen the next time. */
  readonly lasting?: boolean;
}

/**
 * Prepares a model in a process of its own, which may well crash at it: optimized, and with its weights packed the way that this
 * processor's kernels want them, in a file that sessions map instead of reading it. They open in a fraction of the time, and
 * share this memory.
 * @throws Error when it cannot be done; nothing is left of it then but a word that it was tried.
 */
export async function prepare(order: PrepareOrder, signal?: AbortSignal): Promise<void> {
  const child = forkOwn('runtime/prepared/prepare-process.js', signal);
  const over = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const report = once(child, 'message') as Promise<[PrepareReport]>;
  // One of them settles; the other must not be an unhandled rejection.
  report.catch(() => undefined);
  over.catch(() => undefined);
  try {
    child.send(order);
    if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
    const [{ failed, lasting }] = await Promise.race([
      report,
      over.then(([code, by]): [PrepareReport] => [
        { failed: `its process died (${by ?? `code ${code}`})`, lasting: true },
      ]),
    ]);
    if (failed !== undefined) {
      if (lasting && signal?.aborted !== true) await refuse(order.place, order.path, failed);
      throw new Error(failed);
    }
  } finally {
    child.kill();
    await over.catch(() => undefined);
    await rm(scratchOf(order.place, child.pid), { recursive: true, force: true });
  }
}

/** Where a process works until all is done. */
export function scratchOf(place: string, pid: number | undefined): string {
  return `${place}.${pid}`;
}
