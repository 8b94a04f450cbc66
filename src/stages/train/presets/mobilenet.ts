import { z } from 'zod';
import { dropoutOf, dropoutRate, type LayerConfig, type Preset } from './preset.js';
import { normalized } from './resnet.js';
import { imageShape, shapeRow } from './row-shape.js';

const options = z.strictObject({
  shape: imageShape,
  filters: z
    .array(z.int().min(1))
    .min(1)
    .default([32, 64, 128])
    .describe('Channels of each stage, before width; every stage but the first halves the image.'),
  blocks: z.int().min(1).default(2).describe('Depthwise-separable blocks in each stage.'),
  width: z
    .number()
    .positive()
    .default(1)
    .describe('Factor of all filters: less is smaller, faster and less exact.'),
  dropout: dropoutRate(0, 'before the last layer'),
});

const rectified = (kind: 'conv2d' | 'depthwiseConv2d', given: object): LayerConfig[] => [
  ...normalized(kind, given),
  { activation: 'relu' },
];

/** Kernels for each channel, then mixtures of the channels (Howard et al., arXiv:1704.04861), in stages that suit small images. */
export const mobilenet: Preset<z.output<typeof options>> = {
  summary: 'depthwise-separable convolutions, for images where the model must be small',
  options,
  layers({ shape, filters, blocks, width, dropout }, site) {
    const channels = filters.map((count) => Math.max(1, Math.round(count * width)));
    const stages = channels.flatMap((count, stage) =>
      Array.from({ length: blocks }, (_, block): LayerConfig[] => [
        ...rectified('depthwiseConv2d', { kernelSize: 3, strides: block === 0 && stage > 0 ? 2 : 1 }),
        ...rectified('conv2d', { filters: count, kernelSize: 1 }),
      ]).flat(),
    );
    return [
      ...shapeRow(site, 'images', shape).layers,
      ...rectified('conv2d', { filters: channels[0], kernelSize: 3 }),
      ...stages,
      'globalAveragePooling2d',
      ...dropoutOf(dropout),
      'dense',
    ];
  },
};
