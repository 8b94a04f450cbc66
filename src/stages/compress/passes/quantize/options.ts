import { z } from 'zod';

export const quantizeOptions = z.strictObject({
  mode: z
    .enum(['static', 'dynamic', 'weights'])
    .default('static')
    .describe(
      'What becomes of activations. static: uint8 in ranges seen on calibration rows. dynamic: uint8 in the range of each batch, so that a row depends on the rows beside it; needs no data. weights: they stay float32, and only weights are stored small; needs no data.',
    ),
  calibration: z
    .strictObject({
      method: z
        .enum(['minmax', 'mse', 'percentile', 'entropy'])
        .default('minmax')
        .describe(
          'Range of an activation. minmax: all its values. mse: the range with the least squared error. percentile: all but the outermost values. entropy: the range whose distribution diverges least (Kullback and Leibler).',
        ),
      samples: z
        .int()
        .min(1)
        .default(512)
        .describe('Rows to run, at most: of the validation split, then of the train split.'),
      coverage: z
        .number()
        .gt(0.5)
        .max(1)
        .default(0.9999)
        .describe('percentile only: share of the values that the range covers.'),
    })
    .prefault({})
    .describe('static: how the ranges of activations are found. gptq: samples alone counts.'),
  bits: z
    .literal([4, 8])
    .default(4)
    .describe(
      'weights only: of one weight. 4 is an eighth of float32, and rounds 16 times as coarsely as 8.',
    ),
  block: z
    .literal([16, 32, 64, 128, 256])
    .default(32)
    .describe('weights only: weights that share a scale. Larger is smaller and faster, and less exact.'),
  algorithm: z
    .enum(['rtn', 'hqq', 'gptq'])
    .default('rtn')
    .describe(
      'weights only: how they are rounded. rtn: each to the nearest. hqq: on grids that suit most of them, not the largest. gptq: so that later ones make up for earlier ones on the calibration rows; the most exact, and the slowest.',
    ),
  gptq: z
    .strictObject({
      damping: z
        .number()
        .gt(0)
        .max(1)
        .default(0.01)
        .describe('Added to the diagonal of the Hessian, as a share of its mean.'),
      actOrder: z
        .boolean()
        .default(true)
        .describe('Round the weights of the largest inputs first. Costs no time when served.'),
    })
    .prefault({})
    .describe('gptq only.'),
  accuracyLevel: z
    .literal([0, 1, 4])
    .default(4)
    .describe(
      'weights only: what the kernel multiplies in. 4: int8, the fastest by far. 1: float32. 0: the runtime chooses.',
    ),
  unpack: z
    .enum(['run', 'load'])
    .default('run')
    .describe(
      'weights only: when they become what is multiplied. run: in each run, which is fastest for few rows at a time, such as token after token. load: float32 when the model is loaded, so that whole sequences and large batches take the time of before; 4 bits need operator set 21.',
    ),
  perChannel: z
    .boolean()
    .default(true)
    .describe('static and dynamic: one scale for each column of a weight matrix. false: one for the whole.'),
  biasCorrection: z
    .boolean()
    .default(true)
    .describe(
      'static: take from the biases what rounding the weights adds to the outputs on average over the calibration rows.',
    ),
  reduceRange: z
    .boolean()
    .optional()
    .describe(
      'static and dynamic: use 7 of the 8 bits. x86 processors without VNNI may overflow with 8. Default: true for the target avx2, otherwise false.',
    ),
  minElements: z
    .int()
    .min(1)
    .optional()
    .describe(
      'Smaller matrices of weights stay float32: int8 costs more there than it saves. Default: 4096 for dense layers. Of convolutions those stay float32 by default that multiply little, in all or for each number they read or write, unless they stand between others that compute with integers.',
    ),
  exclude: z
    .array(z.string().min(1))
    .default([])
    .describe('Names of nodes to leave as they are; * stands for any text.'),
});
export type QuantizeOptions = z.output<typeof quantizeOptions>;
