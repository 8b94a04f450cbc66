import { z } from 'zod';
import type { Model } from '../../../ir/graph.js';
import { convertOpset } from '../../../ir/opset/convert.js';
import { liftConstants } from '../../../ir/rewrite.js';
import type { Tensor } from '../../../ir/tensor.js';
import { findWeights } from '../../../ir/weights.js';
import { definePass } from '../../../plugin/api.js';
import { fitFields, trainerOf } from './fine-tune.js';
import { foldBatchNorms } from './fold-batch-norm.js';
import { pretendIntegers } from './qat/pretend-integers.js';
import { calibrate } from './quantize/calibrate.js';
import { quantizeOptions } from './quantize/options.js';
import type { Range } from './quantize/ranges.js';
import {
  chooseConvolutions,
  chooseDense,
  describeMisfit,
  quantizeStatic,
  type Calibrate,
} from './quantize/quantize-static.js';

const { calibration, perChannel, reduceRange: sevenBits, minElements, exclude } = quantizeOptions.shape;

const options = z.strictObject({
  ...fitFields,
  epochs: z.int().min(1).default(3).describe('Passes over the rows of the train split.'),
  ranges: z
    .enum(['learned', 'calibrated'])
    .default('learned')
    .describe(
      'Of activations, which begin as calibration finds them. learned: the scales are trained with the weights (Esser and others, arXiv:1902.08153). calibrated: they stay.',
    ),
  calibration: calibration.describe('How the first ranges of activations are found.'),
  perChannel,
  reduceRange: sevenBits,
  minElements,
  exclude,
});
export type QatOptions = z.output<typeof options>;

/** The first operator set that can be trained. */
const leastOpset = 16;

/**
 * What: trains on with weights and activations rounded as in `quantize: {mode: static}`, then makes them integers.
 * Why: weights can settle where rounding costs little, which calibration alone cannot bring about.
 * Example: {qat: {epochs: 3}} in the place of {quantize: {}}; the result has the same form, size and speed.
 *
 * Gradients go straight through the rounding (`ir/gradient/quantize.ts`). What is trained is what is handed on: the integers come
 * from the trained weights in the trained ranges, and no bias is corrected afterwards.
 */
export const qatPass = definePass<QatOptions>({
  name: 'qat',
  summary:
    'Train on with the rounding of integers, then store and compute with them (quantization-aware training).',
  options,
  version: 2,
  async run(given, { epochs, learningRate, batchSize, ranges: kind, ...chosen }, context) {
    const trainer = trainerOf(context, 'qat', 'train');
    const reduceRange = chosen.reduceRange ?? context.target === 'avx2';
    const settings = quantizeOptions.parse({ ...chosen, reduceRange, mode: 'static', biasCorrection: false });
    const { model: raised } = convertOpset(given, leastOpset);
    const lifted: Model = { ...raised, graph: liftConstants(raised.graph) };
    const { model } = await foldBatchNorms(lifted);
    const [convolutions, dense] = [
      await chooseConvolutions(model, settings),
      await chooseDense(model, settings),
    ];
    const inputs = [...dense.chosen.values()].map(({ layer }) => layer.input);
    const names = [...new Set([...(convolutions.chosen.size > 0 ? convolutions.values : []), ...inputs])];
    const batches = names.length > 0 ? await context.calibration(settings.calibration.samples) : [];
    const { ranges: found } = await calibrate(model, names, batches, settings.calibration, {
      signal: context.signal,
    });
    const fits = (name: string): boolean => describeMisfit(found.get(name)) === undefined;
    const plan = {
      convolutions: convolutions.values.every(fits) ? convolutions : undefined,
      dense: [...dense.chosen].flatMap(([node, { layer }]) => (fits(layer.input) ? [{ node, layer }] : [])),
    };
    const known =
      (of: ReadonlyMap<string, Range>): Calibrate =>
      () =>
        Promise.resolve({ ranges: of, means: new Map() });
    const left = (): ReturnType<typeof quantizeStatic> =>
      quantizeStatic(given, lifted, settings, context, known(found));
    if (plan.dense.length === 0 && (plan.convolutions?.chosen.size ?? 0) === 0) return left();

    const pretending = pretendIntegers(model, plan, found, settings);
    const trainable = [...findWeights(model.graph), ...(kind === 'learned' ? pretending.scales.keys() : [])];
    const fitted = await trainer.fit({ model: pretending.model, trainable, epochs, learningRate, batchSize });
    const { initializers } = fitted.graph;
    const trained = new Map<string, Tensor>(
      [...model.graph.initializers].map(([name, before]) => [name, initializers.get(name) ?? before]),
    );
    const ranges = pretending.readRanges(initializers);
    const made = await quantizeStatic(
      given,
      { ...model, graph: { ...model.graph, initializers: trained } },
      settings,
      context,
      known(new Map([...found, ...ranges])),
    );
    const note = `trained for ${epochs} epoch${epochs === 1 ? '' : 's'} with the rounding in place`;
    return { model: made.model, report: { ...made.report, notes: [...(made.report.notes ?? []), note] } };
  },
});
