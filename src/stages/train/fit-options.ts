import { z } from 'zod';
import { named, type Named } from '../../config/named.js';
import { losses, type Loss } from '../../ir/losses.js';
import { optimizers, type OptimizerOptions } from '../../ir/optimizers.js';
import { earlyStoppingSchema, type EarlyStopping } from './early-stopping.js';
import { figureName } from './figure-names.js';
import { schedules } from './schedules/index.js';

/** Schemas of options, by name; the tables of optimizers and losses know defaults only. */
const optionSchemas: Readonly<Record<string, z.ZodType<number | boolean>>> = {
  learningRate: z.number().positive().describe('How far each step goes.'),
  momentum: z.number().min(0).lt(1).describe('Share of the last step that is taken again.'),
  nesterov: z.boolean().describe('Whether the gradient counts as if the momentum had been followed already.'),
  beta1: z.number().min(0).lt(1).describe('Decay of the mean of the gradients.'),
  beta2: z.number().min(0).lt(1).describe('Decay of the mean of their squares.'),
  epsilon: z.number().positive().describe('Keeps a division by nearly nothing small.'),
  rho: z.number().min(0).lt(1).describe('Decay of the mean of the squared gradients.'),
  centered: z.boolean().describe('Whether the variance of the gradients stands in for their mean square.'),
  initialAccumulator: z.number().min(0).describe('Sum of squared gradients to begin with.'),
  weightDecay: z
    .number()
    .min(0)
    .describe('How fast weights shrink towards 0, beside what the loss asks for.'),
  decayVectors: z.boolean().describe('Whether biases and the scales of normalisation shrink too.'),
  delta: z.number().positive().describe('Error from which on the loss is linear.'),
  margin: z.number().positive().describe('How much farther away than its own label other labels are to be.'),
  labelSmoothing: z.number().min(0).lt(1).describe('Share of the certainty that is spread over all classes.'),
  gamma: z.number().min(0).describe('How much less a row counts that is predicted well already.'),
  alpha: z.number().gt(0).max(1).describe('Weight of class 1 when classes are balanced; else of the whole.'),
  applyClassBalancing: z.boolean().describe('Whether class 1 counts alpha, and class 0 what is left of 1.'),
};

function fieldsOf(defaults: Readonly<Record<string, number | boolean>>): Record<string, z.ZodType> {
  const fields = Object.entries(defaults).map(([name, value]) => {
    const schema: z.ZodType = optionSchemas[name] ?? (typeof value === 'boolean' ? z.boolean() : z.number());
    return [name, schema.default(value)];
  });
  return Object.fromEntries(fields) as Record<string, z.ZodType>;
}

function optimizerSchema(defaults: OptimizerOptions): z.ZodType {
  const fields = fieldsOf(defaults);
  if (!('weightDecay' in defaults)) return z.strictObject(fields);
  return z
    .strictObject({
      ...fields,
      excludeFromWeightDecay: z
        .array(z.string().min(1))
        .min(1, 'expected at least one pattern')
        .optional()
        .describe('Weights that do not shrink: names, in which * stands for any text.'),
    })
    .check(({ value, issues }) => {
      const { weightDecay, excludeFromWeightDecay } = value as {
        readonly weightDecay?: number;
        readonly excludeFromWeightDecay?: readonly string[];
      };
      if (excludeFromWeightDecay === undefined || weightDecay !== 0) return;
      const message = 'no weight shrinks: set weightDecay, or remove excludeFromWeightDecay';
      issues.push({ code: 'custom', input: value, path: ['excludeFromWeightDecay'], message });
    });
}

function lossSchema({ defaults, weighsClasses }: Loss): z.ZodType {
  const classWeights = z
    .union([z.literal('balanced'), z.record(z.string(), z.number().min(0))], {
      error: 'expected balanced, or a weight for each label',
    })
    .optional()
    .describe(
      'How much each class counts, by its label, or `balanced`: rare classes as much as common ones.',
    );
  return z.strictObject({ ...fieldsOf(defaults), ...(weighsClasses && { classWeights }) });
}

function mapValues<From, To>(
  table: Readonly<Record<string, From>>,
  change: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, change(value)]));
}

/** How weights are fitted, among the options of the `train` section. */
export interface FitOptions {
  readonly optimizer: Named;
  readonly loss?: Named;
  readonly losses?: Readonly<Record<string, Named>>;
  readonly lossWeights?: Readonly<Record<string, number>>;
  readonly schedule?: Named;
  readonly clipNorm?: number;
  readonly clipValue?: number;
  readonly earlyStopping?: EarlyStopping;
  readonly metrics?: readonly string[];
  readonly sampling?: 'shuffle' | 'balanced';
}

function lossChoice(): z.ZodType<Named> {
  return named(
    mapValues(losses, (loss) => ({ summary: loss.summary, options: lossSchema(loss) })),
    'loss',
  );
}

export const fitOptions = {
  optimizer: named(
    mapValues(optimizers, ({ summary, defaults }) => ({
      summary,
      options: optimizerSchema(defaults),
    })),
    'optimizer',
  )
    .prefault('adam')
    .describe('How the weights follow the gradients.'),
  loss: lossChoice()
    .optional()
    .describe(
      'What is made small. Default: sparseCategoricalCrossentropy for classes, meanSquaredError for amounts.',
    ),
  losses: z
    .record(z.string(), lossChoice())
    .optional()
    .describe('Of several targets: the loss of each, by its name; others have their default.'),
  lossWeights: z
    .record(z.string(), z.number().min(0))
    .optional()
    .describe('Of several targets: how much the loss of each counts in the sum, by its name. Default: 1.'),
  schedule: named(schedules, 'schedule')
    .optional()
    .describe('How the learning rate goes over the training. Default: it stays as it is.'),
  clipNorm: z.number().positive().optional().describe('Greatest length of all gradients of a step together.'),
  clipValue: z.number().positive().optional().describe('Greatest magnitude of each element of a gradient.'),
  earlyStopping: earlyStoppingSchema
    .optional()
    .describe('Ends the training when it gets no better. Write {} for the defaults.'),
  sampling: z
    .enum(['shuffle', 'balanced'])
    .optional()
    .describe(
      'Rows of an epoch: shuffle (the default) takes each once, balanced as many of each class, rare ones often.',
    ),
  metrics: z
    .array(figureName)
    .optional()
    .describe(
      'Figures to measure on the validation split after each epoch, beside the loss and the accuracy.',
    ),
};
