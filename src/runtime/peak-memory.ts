import { once } from 'node:events';
import { MaasError } from '../errors.js';
import { forkOwn } from './fork-own.js';
import type { Feeds } from './session.js';

/** What a process of its own is told: the model's file, and what to ask it. */
export interface MemoryOrder {
  readonly path: string;
  readonly requests: readonly Feeds[];
}

/**
 * Bytes that loading a model and running each of the requests adds to a process, at their peak: weights, activations and what
 * the runtime needs for both. In a process of its own, because what other sessions have freed would hide it.
 * @throws MaasError MAAS_MODEL_INVALID when the model does not run, MAAS_RUNTIME when the process dies.
 */
export async function measurePeakMemory(order: MemoryOrder, signal?: AbortSignal): Promise<number> {
  const child = forkOwn('runtime/peak-memory-process.js', signal);
  try {
    const over = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    const report = once(child, 'message') as Promise<[{ bytes: number } | { failed: string }]>;
    // One of them settles; the other must not be an unhandled rejection when the signal ends both.
    report.catch(() => undefined);
    over.catch(() => undefined);
    child.send(order);
    const [answer] = await Promise.race([report, over.then(([code, by]) => [died(by ?? `code ${code}`)])]);
    if (answer instanceof Error) throw answer;
    if ('failed' in answer) throw new MaasError('MAAS_MODEL_INVALID', answer.failed);
    return answer.bytes;
  } finally {
    child.kill();
  }
}

function died(how: string): MaasError {
  return new MaasError('MAAS_RUNTIME', `the process that measures memory died (${how})`, {
    hint: 'It may have run out of memory: leave compress.gates.memory out, or free some.',
  });
}
