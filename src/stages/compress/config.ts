import { z } from 'zod';
import { describeSchema } from '../../config/describe-schema.js';
import { named, parseInside, type Named } from '../../config/named.js';
import type { Registry } from '../../plugin/api.js';
import { instructionSets, type InstructionSet } from '../../runtime/cpu.js';

const ratio = (most: number, description: string) =>
  z.number().gt(0).max(most).default(1).describe(description);

const gates = z
  .strictObject({
    confidence: z
      .number()
      .min(0.5)
      .lt(1)
      .optional()
      .describe(
        'accuracy, recall, agreement, error and signalToNoise hold with this confidence (such as 0.95) for rows that nobody has seen: their figure is the worst that the test rows leave open. Needs many rows: to show that a share drops by no more than 0.01, 268. Default: the figures of the test rows as they are.',
      ),
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
    overflow: z
      .strictObject({
        maxShare: z
          .number()
          .min(0)
          .max(1)
          .default(0)
          .describe(
            'Largest share of the sums of two products that leave 16 bits on the test rows, in any layer.',
          ),
      })
      .prefault({})
      .describe(
        'For the target avx2 only: processors without VNNI cut such sums off, and no figure of a machine that has it shows that.',
      ),
    size: z
      .strictObject({ maxRatio: ratio(10, 'Largest size of the model, as a share of its size before.') })
      .prefault({})
      .describe('Bytes of the model file.'),
    latency: z
      .strictObject({
        maxRatio: ratio(
          100,
          'Largest time of a run, as a share of the time before; for 1 row and for 64. Fails when the time is larger with 99 % confidence.',
        ),
      })
      .prefault({})
      .describe('Time of a run, measured side by side with the model before.'),
    memory: z
      .strictObject({
        maxRatio: ratio(
          100,
          'Largest peak memory, as a share of that before. Differences below 4 MiB do not count.',
        ),
      })
      .optional()
      .describe(
        'Peak memory of loading the model and running 1 row and 64, beyond that of the runtime itself; of each model in a process of its own. Measured only where it is asked for.',
      ),
  })
  .prefault({})
  .describe(
    'What the compressed model must keep to. When it does not, the stage fails and the last good one stays.',
  );

export type Gates = z.output<typeof gates>;

const auto = z.strictObject({
  goal: z
    .enum(['latency', 'size'])
    .default('latency')
    .describe('Of the recipes that keep to the gates, take the fastest, or the one with the smallest file.'),
  budget: z
    .number()
    .gt(0)
    .default(120)
    .describe(
      'Seconds to try recipes in. What is being tried by then is given up; the choice among the rest is then checked on all test rows.',
    ),
});

export type AutoOptions = z.output<typeof auto>;

/** The `compress` section of the config. */
export interface CompressOptions {
  /** Empty with `auto`. */
  readonly passes: readonly Named[];
  readonly auto?: AutoOptions | undefined;
  /** Undefined: processors like this machine's. */
  readonly target?: InstructionSet | undefined;
  readonly gates: Gates;
}

/** What the section holds for a model that belongs to no project. */
export interface FileOptions extends CompressOptions {
  readonly seed: number;
}

export function compressOptions(registry: Pick<Registry, 'passes'>): z.ZodType<CompressOptions> {
  return orAuto(
    z.strictObject({ ...choices(registry), gates }),
    ({ auto: search, passes, gates: limits, target }) => {
      const chosen = passes ?? (search ? [] : defaultPasses(registry));
      return { passes: chosen, ...(search && { auto: search }), gates: limits, ...(target && { target }) };
    },
  );
}

/** There are no labels to count mistakes with, so the outputs are held to what they were. */
export function fileOptions(registry: Pick<Registry, 'passes'>): z.ZodType<FileOptions> {
  const held = z.preprocess(
    (value) => ({ agreement: { min: 0.98 }, signalToNoise: { min: 20 }, ...(value as object) }),
    gates,
  );
  const seed = z.int().min(0).default(0);
  return orAuto(
    z.strictObject({ ...choices(registry), gates: held, seed }),
    ({ passes, auto: search, ...rest }) =>
      passes ? { ...rest, passes } : { ...rest, passes: [], auto: search ?? auto.parse({}) },
  );
}

function choices(registry: Pick<Registry, 'passes'>) {
  return {
    passes: z
      .array(named(Object.fromEntries(registry.passes), 'pass'))
      .min(1)
      .optional()
      .describe('Rewrites of the model, in order. Default: fold, quantize.'),
    auto: auto
      .optional()
      .describe('Try the recipes that suit the model, layer by layer where need be, and take the best.'),
    target: z
      .enum(instructionSets)
      .optional()
      .describe(
        'Processors that the model is made for; default: those of this machine. On avx2, which lacks VNNI, integers of 8 bits may overflow: weights get 7 there.',
      ),
  };
}

function defaultPasses(registry: Pick<Registry, 'passes'>): Named[] {
  return ['fold', 'quantize'].map((name) => ({
    name,
    options: registry.passes.get(name)!.options.parse({}),
  }));
}

/** The bare word `auto` is short for `{auto: {}}`. One of passes and auto may be given. */
function orAuto<
  Given extends { passes?: readonly Named[] | undefined; auto?: AutoOptions | undefined },
  Options,
>(schema: z.ZodType<Given>, complete: (given: Given) => Options): z.ZodType<Options> {
  return z
    .unknown()
    .transform((value, context): Options => {
      const given = parseInside(schema, value === 'auto' ? { auto: {} } : value, context);
      if (context.issues.length > 0) return z.NEVER;
      if (given.passes && given.auto) {
        const message = 'auto chooses the passes itself: write passes or auto, not both';
        context.addIssue({ code: 'custom', message, path: ['passes'] });
      }
      return complete(given);
    })
    .meta({
      get oneOf() {
        const bare = { const: 'auto', description: 'The same as {auto: {}}.' };
        return [bare, describeSchema(schema)];
      },
    });
}
