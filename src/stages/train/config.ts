import { z } from 'zod';
import { named, type Named } from '../../config/named.js';
import type { Registry } from '../../plugin/api.js';
import { gateOptions, type Gates } from './gate-options.js';
import { augmentSchema, type AugmentOptions } from './augment-options.js';
import { distributedSchema, type Distributed } from './distributed/config.js';
import { auto } from './choose-engine.js';
import { sourceOf } from './fine-tune/config.js';
import { earlyStoppingSchema, type EarlyStopping } from './early-stopping.js';
import { fitOptions, type FitOptions } from './fit-options.js';
import { modelSchema, type ModelOptions } from './model-config.js';
import { submitSchema, type Submit } from './submit/config.js';

/** The `train` section of the config. */
export interface TrainOptions extends FitOptions {
  readonly engine: Named;
  /** Left out with an engine that brings its own. */
  readonly model?: ModelOptions;
  readonly distributed?: Distributed;
  readonly submit?: Submit;
  readonly folds?: number;
  readonly epochs: number;
  readonly batchSize: number;
  readonly accumulate: number;
  readonly ema?: { readonly decay: number };
  readonly augment?: AugmentOptions;
  readonly threads: number;
  readonly logSteps: number;
  readonly gates: Gates;
}

const autoChoice = {
  summary: 'tfjs-node where it is installed, else onnx; the result says which and why',
  options: z.strictObject({}),
};

export function trainOptions({ engines }: Pick<Registry, 'engines'>): z.ZodType<TrainOptions> {
  const choices = [...engines].map(
    ([name, { summary, options = z.strictObject({}) }]) => [name, { summary, options }] as const,
  );
  const schema = z.strictObject({
    engine: named({ ...Object.fromEntries(choices), [auto]: autoChoice }, 'engine')
      .prefault('onnx')
      .describe('What does the computing.'),
    model: modelSchema.optional(),
    distributed: distributedSchema
      .optional()
      .describe(
        'Several processes, on one host or more, train the model together: each has its share of every batch. Batch normalization goes by the statistics of each share.',
      ),
    submit: submitSchema
      .optional()
      .describe('What `maas train --submit` tells the cluster that is to train the model.'),
    ...fitOptions,
    folds: z
      .int()
      .min(2)
      .max(100)
      .optional()
      .describe(
        'Cross-validation: a model for each of so many parts of the rows of train and validation, measured on the part that it was not trained on; then the model itself, trained on all of them.',
      ),
    epochs: z
      .int()
      .min(0)
      .max(1_000_000)
      .optional()
      .describe(
        'Passes over the train split. 0 takes a model from a file as it is. Default: as long as the validation split gets better, 100 at most.',
      ),
    batchSize: z.int().min(1).default(32).describe('Rows for each step of the optimizer.'),
    accumulate: z
      .int()
      .min(1)
      .default(1)
      .describe('Batches that make a step of the optimizer together: large batches in little memory.'),
    augment: augmentSchema
      .optional()
      .describe(
        'How images are changed by chance, in training only, each time that they are trained on: { randomFlip: horizontal }.',
      ),
    ema: z
      .strictObject({
        decay: z
          .number()
          .min(0)
          .lt(1)
          .default(0.99)
          .describe('Share of the average that stays with each step.'),
      })
      .optional()
      .describe('The model gets an average of the weights over the steps. Write {} for the default.'),
    threads: z
      .int()
      .min(1)
      .max(256)
      .default(1)
      .describe('Threads that compute. Small models are fastest with one.'),
    logSteps: z
      .int()
      .min(1)
      .default(100)
      .describe('Steps between two lines of the run log, beside those at the end of each epoch.'),
    gates: gateOptions,
  });
  const checked = schema.check((context) => {
    const { engine, model, distributed, epochs, augment } = context.value;
    const ownsModel = engines.get(engine.name)?.ownsModel === true;
    const chosen = engines.get(engine.name);
    if (distributed && chosen && (chosen.ownsModel === true || chosen.distributed !== true)) {
      const message = `the ${engine.name} engine trains in one process: remove distributed`;
      context.issues.push({ code: 'custom', input: distributed, path: ['distributed'], message });
    }
    const { loss } = context.value;
    if (loss && chosen?.ownsModel !== true && chosen?.withoutLosses?.includes(loss.name)) {
      const message = `the ${engine.name} engine cannot train by ${loss.name}: choose the onnx engine, or another loss`;
      context.issues.push({ code: 'custom', input: loss, path: ['loss'], message });
    }
    if (ownsModel) {
      const { accumulate, ema, sampling } = context.value;
      const others = {
        accumulate: accumulate > 1,
        ema: ema !== undefined,
        sampling: sampling === 'balanced',
      };
      for (const [key, isOn] of Object.entries(others)) {
        if (!isOn) continue;
        const message = `the ${engine.name} engine leaves the steps to its trainer: remove ${key}`;
        context.issues.push({ code: 'custom', input: context.value, path: [key], message });
      }
    }
    if (epochs === 0 && !(model && sourceOf(model))) {
      const message = 'a model that is not from a file must be trained: expected 1 or more';
      context.issues.push({ code: 'custom', input: epochs, path: ['epochs'], message });
    }
    if (context.value.folds !== undefined && (distributed || ownsModel)) {
      const message = distributed
        ? 'folds are trained in one process: remove distributed, or folds'
        : `the ${engine.name} engine brings its own model: remove folds`;
      context.issues.push({ code: 'custom', input: context.value.folds, path: ['folds'], message });
    }
    if (ownsModel && augment !== undefined) {
      const message = `the ${engine.name} engine brings its own model, and changes images itself: remove augment`;
      context.issues.push({ code: 'custom', input: augment, path: ['augment'], message });
    }
    const path = ['model'];
    if (ownsModel && model !== undefined) {
      const message = `the ${engine.name} engine brings its own model: remove model`;
      context.issues.push({ code: 'custom', input: model, path, message });
    } else if (!ownsModel && model === undefined) {
      context.issues.push({ code: 'invalid_type', expected: 'object', input: model, path });
    }
  });
  return checked.transform((given) => ({
    ...given,
    ...(engines.get(given.engine.name)?.ownsModel === true ? { epochs: given.epochs ?? 60 } : howLong(given)),
  }));
}

/** Who says how long to train gets that. Else what serves small tables and large ones: for as long as it helps. */
function howLong({
  epochs,
  earlyStopping,
}: {
  readonly epochs?: number | undefined;
  readonly earlyStopping?: EarlyStopping | undefined;
}): Pick<TrainOptions, 'epochs' | 'earlyStopping'> {
  if (epochs !== undefined) return { epochs, ...(earlyStopping && { earlyStopping }) };
  return { epochs: 100, earlyStopping: earlyStopping ?? earlyStoppingSchema.parse({}) };
}
