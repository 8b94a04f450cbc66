import { z } from 'zod';
import { attr } from '../../../ir/graph.js';
import type { Layer, Site } from './layer.js';
import { expectRank, sizesOf, withChannelsFirst } from './shapes.js';

const epsilon = (value: number) =>
  z
    .number()
    .positive()
    .default(value)
    .describe('Added to the variance, so that a constant is not divided by 0.');

/** A factor of 1 and an offset of 0 for each of `size` channels or features. */
function scaleAndOffset({ weight }: Site, size: number): [gamma: string, beta: string] {
  const fans = { in: size, out: size };
  return [weight('gamma', [size], 'ones', fans), weight('beta', [size], 'zeros', fans)];
}

const batchOptions = z.strictObject({
  momentum: z
    .number()
    .min(0)
    .lt(1)
    .default(0.9)
    .describe(
      'Share of the running mean and variance that each batch leaves. Keras has 0.99, PyTorch counts the rest: 0.1.',
    ),
  epsilon: epsilon(1e-3),
});

/**
 * Each channel has mean 0 and deviation 1 over the batch in training, over all batches on the average when served
 * (Ioffe and Szegedy, arXiv:1502.03167).
 */
export const batchNormalization: Layer<z.output<typeof batchOptions>> = {
  summary: 'each channel is scaled by its mean and deviation over the batch',
  options: batchOptions,
  emit: (site, x, { momentum, epsilon }) =>
    withChannelsFirst(site, x, (turned) => {
      const channels = Number(site.g.shapeOf(turned)[1]);
      const statistics = [
        site.statistic('movingMean', [channels], 0),
        site.statistic('movingVariance', [channels], 1),
      ];
      return site.g.op(
        'BatchNormalization',
        [turned, ...scaleAndOffset(site, channels), ...statistics],
        { epsilon: attr.float(epsilon), momentum: attr.float(momentum) },
        { name: site.name },
      );
    }),
};

const layerOptions = z.strictObject({ epsilon: epsilon(1e-3) });

/** Over the features of each row or step (Ba, Kiros and Hinton, arXiv:1607.06450). */
export const layerNormalization: Layer<z.output<typeof layerOptions>> = {
  summary: 'the features of each row or step are scaled by their mean and deviation',
  options: layerOptions,
  emit(site, x, { epsilon }) {
    const features = expectRank(site, x, 1, 2).at(-1)!;
    const attributes = { axis: attr.int(-1), epsilon: attr.float(epsilon) };
    return site.g.op('LayerNormalization', [x, ...scaleAndOffset(site, features)], attributes, {
      name: site.name,
    });
  },
};

const rmsOptions = z.strictObject({ epsilon: epsilon(1e-6) });

/** Without the mean (Zhang and Sennrich, arXiv:1910.07467). */
export const rmsNormalization: Layer<z.output<typeof rmsOptions>> = {
  summary: 'the features of each row or step are scaled by their root mean square',
  options: rmsOptions,
  emit(site, x, { epsilon }) {
    const { g } = site;
    const features = expectRank(site, x, 1, 2).at(-1)!;
    const gamma = site.weight('gamma', [features], 'ones', { in: features, out: features });
    const mean = g.op('ReduceMean', [g.op('Mul', [x, x]), g.int64s([-1])], { keepdims: attr.int(1) });
    const root = g.op('Sqrt', [g.op('Add', [mean, g.scalar(epsilon)])]);
    return g.op('Mul', [g.op('Div', [x, root]), gamma], {}, { name: site.name });
  },
};

const groupOptions = z.strictObject({
  groups: z.int().min(1).default(32).describe('Parts that the channels are divided into.'),
  epsilon: epsilon(1e-3),
});

/** Over the channels of a group and all their positions (Wu and He, arXiv:1803.08494). As many groups as channels: instance normalization. */
export const groupNormalization: Layer<z.output<typeof groupOptions>> = {
  summary: 'groups of channels of each row are scaled by their mean and deviation',
  options: groupOptions,
  emit(site, x, { groups, epsilon }) {
    const sizes = sizesOf(site, x);
    const channels = sizes.length === 2 ? sizes[1]! : sizes[0]!;
    if (channels % groups !== 0) {
      throw site.misfit(
        `${groups} groups do not divide ${channels} channels evenly`,
        'Choose groups that divide the channels.',
      );
    }
    return withChannelsFirst(site, x, (turned) =>
      site.g.op(
        'GroupNormalization',
        [turned, ...scaleAndOffset(site, channels)],
        { num_groups: attr.int(groups), epsilon: attr.float(epsilon) },
        { name: site.name },
      ),
    );
  },
};
