import { Batcher, type BatcherOptions } from './batcher.js';
import { queueFull } from './request-error.js';
import type { Runner } from './runner.js';

/** Where requests wait for their runs. */
export type Queue = Pick<Batcher, 'depth' | 'submit' | 'close'>;

/**
 * One queue; or two, where this thread does the short runs and a worker the long ones, so that neither waits for the other.
 * Together they hold `maxQueue` requests.
 */
export function createQueue(
  { rowsBeside, runsBeside = 0 }: Pick<Runner, 'rowsBeside' | 'runsBeside'>,
  options: BatcherOptions,
): Queue {
  if (runsBeside === 0) return new Batcher(options);
  const short = new Batcher(options);
  const long = new Batcher({ ...options, concurrency: runsBeside });
  const count = (): number => short.depth + long.depth;
  return {
    get depth() {
      return count();
    },
    submit: (inputs, urgency) =>
      count() < options.maxQueue
        ? (inputs.rows > rowsBeside ? long : short).submit(inputs, urgency)
        : Promise.reject(queueFull(count())),
    close: async () => {
      await Promise.all([short.close(), long.close()]);
    },
  };
}
