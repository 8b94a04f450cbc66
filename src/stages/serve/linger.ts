import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

const slices = 10;

/**
 * Leaves callers this many milliseconds for what is on its way. In slices: a run of a model that blocks this thread takes one
 * of them from callers, and not all.
 */
export async function lingerFor(duration: number): Promise<void> {
  for (let slice = 0; slice < slices; slice++) await sleep(duration / slices);
  // Lets the event loop read what arrived in the last one.
  await nextTurn();
}
