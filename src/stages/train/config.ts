import { z } from 'zod';
import { named, type Named } from '../../config/named.js';
import { losses } from '../../ir/losses.js';
import { optimizers, type OptimizerOptions } from '../../ir/optimizers.js';
import type { Registry } from '../../plugin/api.js';
import { layers, type LayerChoice } from './layers/index.js';

/** Schemas of optimizers' options, by name; the tables of optimizers know defaults only. */
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
};

function optimizerSchema(defaults: OptimizerOptions): z.ZodType {
  const fields = Object.entries(defaults).map(([name, value]) => {
    const schema: z.ZodType = optionSchemas[name] ?? (typeof value === 'boolean' ? z.boolean() : z.number());
    return [name, schema.default(value)];
  });
  return z.strictObject(Object.fromEntries(fields) as Record<string, z.ZodType>);
}

const optimizer = named(
  Object.fromEntries(
    Object.entries(optimizers).map(([name, { summary, defaults }]) => [
      name,
      { summary, options: optimizerSchema(defaults) },
    ]),
  ),
  'optimizer',
);

const loss = named(
  Object.fromEntries(
    Object.entries(losses).map(([name, { summary }]) => [name, { summary, options: z.strictObject({}) }]),
  ),
  'loss',
);

const layerList = z
  .array(named(layers, 'layer') as z.ZodType<LayerChoice>)
  .min(1, 'expected at least one layer')
  .check((context) => {
    const list = context.value;
    const report = (index: number, message: string): void => {
      context.issues.push({ code: 'custom', input: list, path: [index], message });
    };
    const last = findHead(list);
    if (last === undefined && list.length > 0) {
      report(
        list.length - 1,
        'the last layer must be dense: it gives one output for each class, or the amount',
      );
    }
    list.forEach(({ name, options }, index) => {
      if (name !== 'dense' || options.units !== 'auto' || index === last) return;
      report(index, 'only the last layer can leave its units to the data: say how many this one has');
    });
  });

/** Index of the dense layer that gives the model's outputs; only an activation may follow it. */
export function findHead(list: readonly LayerChoice[]): number | undefined {
  const index = list.at(-1)?.name === 'activation' ? list.length - 2 : list.length - 1;
  return list[index]?.name === 'dense' ? index : undefined;
}

const limits = z.strictObject({
  min: z.number().optional().describe('Least figure that passes.'),
  max: z.number().optional().describe('Greatest figure that passes.'),
});

const gates = z
  .strictObject({
    accuracy: limits.optional().describe('Share of rows that get the right label. Classification only.'),
    logLoss: limits.optional().describe('Mean of −log(probability of the true class). Classification only.'),
    mse: limits.optional().describe('Mean squared error. Regression only.'),
    mae: limits.optional().describe('Mean absolute error. Regression only.'),
    r2: limits.optional().describe('Share of the variance that is explained. Regression only.'),
  })
  .prefault({})
  .describe('What the model must reach on the test split; when it does not, the stage fails.');

/** The `train` section of the config. */
export interface TrainOptions {
  readonly engine: Named;
  readonly model: { readonly layers: readonly LayerChoice[] };
  readonly optimizer: Named;
  readonly loss?: Named;
  readonly epochs: number;
  readonly batchSize: number;
  readonly threads: number;
  readonly gates: z.output<typeof gates>;
}

export function trainOptions({ engines }: Pick<Registry, 'engines'>): z.ZodType<TrainOptions> {
  const choices = [...engines].map(
    ([name, { summary, options = z.strictObject({}) }]) => [name, { summary, options }] as const,
  );
  return z.strictObject({
    engine: named(Object.fromEntries(choices), 'engine')
      .prefault('onnx')
      .describe('What does the computing.'),
    model: z
      .strictObject({ layers: layerList.describe('Layers from the inputs to the outputs.') })
      .describe(
        'What is trained. Scaling of numbers, look-up of categories and label names are added by themselves.',
      ),
    optimizer: optimizer.prefault('adam').describe('How the weights follow the gradients.'),
    loss: loss
      .optional()
      .describe(
        'What is made small. Default: sparseCategoricalCrossentropy for classes, meanSquaredError for amounts.',
      ),
    epochs: z.int().min(1).max(1_000_000).default(60).describe('Passes over the train split.'),
    batchSize: z.int().min(1).default(32).describe('Rows for each step of the optimizer.'),
    threads: z
      .int()
      .min(1)
      .max(256)
      .default(1)
      .describe('Threads that compute. Small models are fastest with one.'),
    gates,
  });
}
