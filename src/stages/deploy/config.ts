import { z } from 'zod';
import { named, type Named } from '../../config/named.js';
import type { Registry } from '../../plugin/api.js';

/** The `deploy` section of the config. */
export interface DeployOptions {
  readonly target: Named;
  readonly keep: number;
  readonly verify: VerifyOptions;
  readonly sign?: SignOptions | undefined;
  /** Public keys in PEM, or files with them. */
  readonly trust?: readonly string[] | undefined;
}

export interface SignOptions {
  /** A private key in PEM, or a file with it. */
  readonly key: string;
  readonly passphrase?: string | undefined;
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
    sign: z
      .strictObject({
        key: z
          .string()
          .min(1)
          .describe(
            'Private Ed25519 key in PEM, or a file with it; `${SIGNING_KEY}` takes it from the environment.',
          ),
        passphrase: z.string().optional().describe('Of an encrypted key; better from the environment.'),
      })
      .optional()
      .describe('Sign the provenance of each release (DSSE, in-toto).'),
    trust: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe(
        'Public Ed25519 keys in PEM, or files with them: a release that none of them signed is not deployed.',
      ),
  });
}
