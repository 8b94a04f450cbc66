import { availableParallelism } from 'node:os';
import { MaasError } from '../../../errors.js';
import type { ServeOptions } from '../config.js';
import { readMemoryLimit } from '../placement.js';

/** How many processes are to serve. */
export function countProcesses({ processes }: Pick<ServeOptions, 'processes'>): number {
  return processes === 'auto' ? availableParallelism() : processes;
}

/**
 * What each of several processes would do by itself and must not.
 * @throws MaasError MAAS_USAGE
 */
export function refuseUnshared({ sample, drift }: ServeOptions, platform: NodeJS.Platform): void {
  const refuse = (what: string, hint: string): never => {
    throw new MaasError('MAAS_USAGE', `serve.processes: ${what}`, { hint });
  };
  const alone = 'Leave serve.processes out, so that one process serves.';
  if (platform === 'win32') refuse('several processes cannot share a port on Windows', alone);
  if (sample) refuse('serve.sample writes to one file, which several processes cannot', alone);
  if (drift) refuse('serve.drift compares what one process sees, and not what all of them do', alone);
}

/** What one of so many processes may take: limits that hold for the server are divided among them. */
export function shareOf(options: ServeOptions, processes: number): ServeOptions {
  const { memoryBudget, maxConnections, maxQueue, cache } = options;
  const share = (whole: number): number => Math.ceil(whole / processes);
  return {
    ...options,
    processes,
    memoryBudget: share(memoryBudget === 'auto' ? readMemoryLimit() / 2 : memoryBudget),
    maxConnections: share(maxConnections),
    maxQueue: share(maxQueue),
    ...(cache && { cache: { maxBytes: share(cache.maxBytes) } }),
  };
}
