import { z } from 'zod';
import { dropoutOf, dropoutRate, type LayerConfig, type Preset } from './preset.js';
import { imageShape, shapeRow } from './row-shape.js';

const options = z.strictObject({
  shape: imageShape,
  filters: z
    .array(z.int().min(1))
    .min(1)
    .default([16, 32, 64])
    .describe('Channels of each stage; every stage but the first halves the image.'),
  blocks: z.int().min(1).default(2).describe('Blocks of two convolutions in each stage.'),
  dropout: dropoutRate(0, 'before the last layer'),
});

/** A convolution that a batch normalization follows, whose offset makes one of its own idle. */
export const normalized = (kind: 'conv2d' | 'depthwiseConv2d', given: object): LayerConfig[] => [
  { [kind]: { padding: 'same', useBias: false, kernelInitializer: 'heNormal', ...given } },
  'batchNormalization',
];

/** Basic blocks as for small images (He et al., arXiv:1512.03385, section 4.2), with projections where the shape changes. */
export const resnet: Preset<z.output<typeof options>> = {
  summary: 'residual blocks of convolutions, for images',
  options,
  layers({ shape, filters, blocks, dropout }, site) {
    const stem = normalized('conv2d', { filters: filters[0], kernelSize: 3 });
    const stages = filters.flatMap((count, stage) =>
      Array.from({ length: blocks }, (_, block): LayerConfig[] => {
        const first = block === 0 && stage > 0;
        const strides = first ? 2 : 1;
        const residual = {
          layers: [
            ...normalized('conv2d', { filters: count, kernelSize: 3, strides }),
            { activation: 'relu' },
            ...normalized('conv2d', { filters: count, kernelSize: 3 }),
          ],
          shortcut: first ? normalized('conv2d', { filters: count, kernelSize: 1, strides }) : [],
        };
        return [{ residual }, { activation: 'relu' }];
      }).flat(),
    );
    return [
      ...shapeRow(site, 'images', shape).layers,
      ...stem,
      { activation: 'relu' },
      ...stages,
      'globalAveragePooling2d',
      ...dropoutOf(dropout),
      'dense',
    ];
  },
};
