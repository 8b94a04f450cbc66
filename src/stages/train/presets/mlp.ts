import { z } from 'zod';
import { activationNames } from '../layers/activations.js';
import { layers, type LayerChoice } from '../layers/index.js';
import type { Preset } from './preset.js';

const options = z.strictObject({
  units: z
    .array(z.int().min(1))
    .default([64, 64])
    .describe('Outputs of each hidden layer; none for a linear model.'),
  activation: z.enum(activationNames).default('relu').describe('Function after each hidden layer.'),
  dropout: z.number().min(0).lt(1).default(0).describe('Share of outputs left out after each hidden layer.'),
});

/** Dense layers one after another: the model to begin with for rows of numbers and categories. */
export const mlp: Preset<z.output<typeof options>> = {
  summary: 'dense layers one after another',
  options,
  layers({ units, activation, dropout }) {
    // Rectified functions lose half of the variance, which He's initial weights make up for.
    const kernelInitializer = /^(relu|leakyRelu|elu|gelu|silu)$/.test(activation)
      ? 'heUniform'
      : 'glorotUniform';
    const hidden = units.flatMap((count): LayerChoice[] => [
      { name: 'dense', options: dense({ units: count, activation, kernelInitializer }) },
      ...(dropout > 0 ? [{ name: 'dropout' as const, options: { rate: dropout } }] : []),
    ]);
    return [...hidden, { name: 'dense', options: dense({}) }];
  },
};

const dense = (given: Readonly<Record<string, unknown>>) => layers.dense.options.parse(given);
