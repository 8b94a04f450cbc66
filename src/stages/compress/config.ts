import { z } from 'zod';
import { named, type Named } from '../../config/named.js';
import type { Registry } from '../../plugin/api.js';

const gates = z
  .strictObject({
    accuracy: z
      .strictObject({
        maxDrop: z
          .number()
          .min(0)
          .max(1)
          .default(0.01)
          .describe('Largest loss of accuracy on the test split, as a share of its rows.'),
      })
      .prefault({})
      .describe('Classification only.'),
    recall: z
      .strictObject({
        maxDrop: z
          .number()
          .min(0)
          .max(1)
          .describe('Largest loss of recall for any one label on the test split, as a share of its rows.'),
      })
      .optional()
      .describe('Classification only: a mean may hide that a rare label is lost.'),
    agreement: z
      .strictObject({
        min: z
          .number()
          .min(0)
          .max(1)
          .describe('Smallest share of the test rows that get the same label as before.'),
      })
      .optional()
      .describe('Classification only: mistakes that replace others leave the accuracy as it was.'),
    signalToNoise: z
      .strictObject({
        min: z
          .number()
          .describe('Smallest ratio of the output to what changed in it, in dB: 40 is a hundredth.'),
      })
      .optional()
      .describe('Of the probabilities or predictions on the test split.'),
    error: z
      .strictObject({
        maxIncrease: z
          .number()
          .min(0)
          .default(0.05)
          .describe('Largest growth of the mean squared error on the test split, as a share of it.'),
      })
      .prefault({})
      .describe('Regression only.'),
    size: z
      .strictObject({
        maxRatio: z
          .number()
          .gt(0)
          .max(10)
          .default(1)
          .describe('Largest size of the model, as a share of its size before.'),
      })
      .prefault({})
      .describe('Bytes of the model file.'),
    latency: z
      .strictObject({
        maxRatio: z
          .number()
          .gt(0)
          .max(100)
          .default(1)
          .describe(
            'Largest time of a run, as a share of the time before; for 1 row and for 64. Fails when the time is larger with 99 % confidence.',
          ),
      })
      .prefault({})
      .describe('Time of a run, measured side by side with the model before.'),
  })
  .prefault({})
  .describe(
    'What the compressed model must keep to. When it does not, the stage fails and the last good one stays.',
  );

export type Gates = z.output<typeof gates>;

/** The `compress` section of the config. */
export interface CompressOptions {
  readonly passes: readonly Named[];
  readonly gates: Gates;
}

export function compressOptions(registry: Pick<Registry, 'passes'>): z.ZodType<CompressOptions> {
  return z.strictObject({ passes: passesOf(registry).prefault(['fold', 'quantize']), gates });
}

/** What the section holds for a model that belongs to no project. */
export interface FileOptions {
  /** Undefined: what is known to pay for this kind of model. */
  readonly passes?: readonly Named[] | undefined;
  readonly gates: Gates;
  readonly seed: number;
}

/** There are no labels to count mistakes with, so the outputs are held to what they were. */
export function fileOptions(registry: Pick<Registry, 'passes'>): z.ZodType<FileOptions> {
  return z.strictObject({
    passes: passesOf(registry).optional(),
    gates: z.preprocess(
      (value) => ({ agreement: { min: 0.98 }, signalToNoise: { min: 20 }, ...(value as object) }),
      gates,
    ),
    seed: z.int().min(0).default(0),
  });
}

function passesOf(registry: Pick<Registry, 'passes'>) {
  return z
    .array(named(Object.fromEntries(registry.passes), 'pass'))
    .min(1)
    .describe('Rewrites of the model, in order.');
}
