import { setTimeout as wait } from 'node:timers/promises';
import { onDisk } from '../../../../artifacts/durable.js';
import { openStore } from '../../../../artifacts/index.js';
import { MaasError } from '../../../../errors.js';
import type { Layout } from './layout.js';

/** Milliseconds. Another project on the same folder holds the lock for as long as it copies or switches. */
const patience = 60_000;
const pause = 50;

/**
 * Does `work` while nobody else changes the folder.
 * @throws MaasError MAAS_LOCKED when another run holds on to the lock, MAAS_DISK when the folder cannot be written.
 */
export async function whileLocked<T>(
  layout: Pick<Layout, 'root'>,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  return onDisk(`cannot write the deploy folder ${layout.root}`, async () => {
    const giveBack = await waitForLock(layout, signal);
    try {
      return await work();
    } finally {
      await giveBack();
    }
  });
}

/** The folder is locked as a project's store is: what killed runs left in `tmp` is cleared away along with it. */
async function waitForLock(
  { root }: Pick<Layout, 'root'>,
  signal: AbortSignal,
): Promise<() => Promise<void>> {
  const deadline = Date.now() + patience;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await openStore(root).lock('deploy');
    } catch (error) {
      const held = error instanceof MaasError && error.code === 'MAAS_LOCKED';
      if (!held || Date.now() > deadline) throw error;
      await wait(pause, undefined, { signal });
    }
  }
}
