import { z } from 'zod';
import { named, type Named } from '../../config/named.js';
import type { Registry } from '../../plugin/api.js';

/** The `deploy` section of the config. */
export interface DeployOptions {
  readonly target: Named;
  readonly keep: number;
  readonly verify: VerifyOptions;
}

export interface VerifyOptions {
  /** Seconds. */
  readonly timeout: number;
  /** Milliseconds. */
  readonly maxLatencyMs?: number | undefined;
}

export function deployOptions(registry: Pick<Registry, 'targets'>): z.ZodType<DeployOptions> {
  return z.strictObject({
    target: named(Object.fromEntries(registry.targets), 'target')
      .prefault('local')
      .describe('Where releases go to run.'),
    keep: z
      .int()
      .min(2)
      .default(5)
      .describe('Releases that the target keeps: the current one, the one before it, and older ones.'),
    verify: z
      .strictObject({
        timeout: z
          .number()
          .positive()
          .default(30)
          .describe('Seconds in which a candidate must start, answer its golden rows and stop.'),
        maxLatencyMs: z
          .number()
          .positive()
          .optional()
          .describe('Latency budget: most milliseconds that the median answer to one row may take here.'),
      })
      .prefault({})
      .describe('The check that a release must pass before it is switched to.'),
  });
}
