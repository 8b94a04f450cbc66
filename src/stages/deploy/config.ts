import { z } from 'zod';
import { named, type Named } from '../../config/named.js';
import type { CanaryOptions, Registry } from '../../plugin/api.js';
import { canaryOptions } from './canary/options.js';

/** The `deploy` section of the config. */
export interface DeployOptions {
  readonly target: Named;
  readonly keep: number;
  readonly verify: VerifyOptions;
  readonly canary?: CanaryOptions | undefined;
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
  const options = z.strictObject({
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
    canary: canaryOptions
      .optional()
      .describe(
        'Try a release on part of the requests before it gets all of them; when it does worse than the current one, that one keeps them all.',
      ),
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
  return options.superRefine(({ target, canary }, context) => {
    if (canary === undefined) return;
    const refuse = (path: string[], message: string): void => {
      context.addIssue({ code: 'custom', path, message });
    };
    const { canary: can } = registry.targets.get(target.name)!;
    if (can === undefined) refuse(['canary'], `the target ${target.name} cannot split requests`);
    else if (canary.shadow && !can.includes('shadow'))
      refuse(['canary', 'shadow'], `the target ${target.name} cannot put requests to two releases`);
  });
}
