import { z } from 'zod';
import { activationNames } from '../layers/activations.js';
import { dropoutOf, dropoutRate, type LayerConfig, type Preset } from './preset.js';

const options = z.strictObject({
  units: z
    .array(z.int().min(1))
    .default([64, 64])
    .describe('Outputs of each hidden layer; none for a linear model.'),
  activation: z.enum(activationNames).default('relu').describe('Function after each hidden layer.'),
  dropout: dropoutRate(0, 'after each hidden layer'),
});

export type HiddenOptions = z.output<typeof options>;

/** Dense layers one after another: the model to begin with for rows of numbers and categories. */
export const mlp: Preset<HiddenOptions> = {
  summary: 'dense layers one after another',
  options,
  layers(given, { sizes, isIds, misfit }) {
    if (isIds) throw misfit('takes numbers, a row of the data is ids', 'Use the preset lstm or transformer.');
    return [...(sizes.length > 1 ? ['flatten'] : []), ...hiddenLayers(given), 'dense'];
  },
};

export const hiddenLayers = ({ units, activation, dropout }: HiddenOptions): LayerConfig[] =>
  units.flatMap((count): LayerConfig[] => [{ dense: { units: count, activation } }, ...dropoutOf(dropout)]);
