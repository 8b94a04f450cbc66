import { setImmediate } from 'node:timers/promises';

/**
 * Lets timers and signals through in the midst of long work, which blocks the thread.
 * @throws the reason of the signal, once it is aborted.
 */
export async function giveWay(signal?: AbortSignal): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
}
