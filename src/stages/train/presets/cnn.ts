import { z } from 'zod';
import { activationNames, type ActivationName } from '../layers/activations.js';
import { hiddenLayers } from './mlp.js';
import { dropoutRate, type LayerConfig, type Preset } from './preset.js';
import { imageShape, shapeRow } from './row-shape.js';

const options = z.strictObject({
  shape: imageShape,
  filters: z
    .array(z.int().min(1))
    .min(1)
    .default([32, 64])
    .describe('Channels of each convolution, from the first to the last.'),
  kernelSize: z.int().min(1).default(3).describe('Height and width of each kernel.'),
  pooling: z
    .enum(['max', 'average', 'none'])
    .default('max')
    .describe('What halves the image after each convolution.'),
  units: z.array(z.int().min(1)).default([64]).describe('Outputs of each hidden layer after them.'),
  activation: z
    .enum(activationNames)
    .default('relu')
    .describe('Function after each convolution and hidden layer.'),
  dropout: dropoutRate(0, 'after each hidden layer'),
});

/** Convolutions with pooling between them, then dense layers: the model to begin with for small images. */
export const cnn: Preset<z.output<typeof options>> = {
  summary: 'convolutions, then dense layers, for images',
  options,
  layers({ shape, filters, kernelSize, pooling, units, activation, dropout }, site) {
    const image = shapeRow(site, 'images', shape);
    const [height, width] = image.sizes.slice(1) as [number, number];
    const halvings = Math.floor(Math.log2(Math.min(height, width)));
    if (pooling !== 'none' && filters.length > halvings) {
      throw site.misfit(
        `halves the image ${filters.length} times, once for each of its filters: ${height} × ${width} pixels can be halved ${halvings === 1 ? 'once' : `${halvings} times`}`,
        halvings === 0 ? 'Write pooling: none.' : `Write no more than ${halvings} filters, or pooling: none.`,
        'filters',
      );
    }
    const kernelInitializer = initializerFor(activation);
    return [
      ...image.layers,
      ...filters.flatMap((count): LayerConfig[] => [
        { conv2d: { filters: count, kernelSize, padding: 'same', activation, kernelInitializer } },
        ...(pooling === 'none' ? [] : [`${pooling}Pooling2d`]),
      ]),
      'flatten',
      ...hiddenLayers({ units, activation, dropout }),
      'dense',
    ];
  },
};

/** Rectified functions lose half of the variance, which He's initial weights make up for. */
const initializerFor = (activation: ActivationName): 'heUniform' | 'glorotUniform' =>
  /^(relu|relu6|leakyRelu|elu|gelu|silu)$/.test(activation) ? 'heUniform' : 'glorotUniform';
