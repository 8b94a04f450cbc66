import { z } from 'zod';
import { activationNames } from '../layers/activations.js';
import { hiddenLayers } from './mlp.js';
import { dropoutRate, type Preset } from './preset.js';

const options = z.strictObject({
  units: z
    .array(z.int().min(1))
    .min(1)
    .optional()
    .describe(
      'Outputs of each layer down to the code, which is the last; the way back mirrors them. Default: 64, then a third of the numbers of a row, 32 at most.',
    ),
  activation: z
    .enum(activationNames)
    .default('relu')
    .describe('Function after each hidden layer; the code has none.'),
  dropout: dropoutRate(0, 'after each hidden layer'),
});

const mostCode = 32;

/** Rows through a narrow code and back (Hinton and Salakhutdinov 2006): rows of a kind that it does not know come back badly. */
export const autoencoder: Preset<z.output<typeof options>> = {
  summary: 'rows through a narrow code and back, to find those that are unlike others',
  options,
  layers({ units, activation, dropout }, { sizes, isIds, reconstructs, misfit }) {
    if (!reconstructs) {
      throw misfit(
        'gives back the row that it takes, and the data has a target',
        'Write data.task: reconstruction, or use another preset.',
      );
    }
    if (isIds) throw misfit('takes numbers, a row of the data is ids', 'Leave the ids out of the features.');
    const width = sizes.reduce((product, size) => product * size, 1);
    const [code = 1, ...back] = (units ?? [64, Math.min(mostCode, Math.max(1, Math.floor(width / 3)))])
      .slice()
      .reverse();
    const hidden = (counts: readonly number[]) => hiddenLayers({ units: [...counts], activation, dropout });
    return [...hidden([...back].reverse()), { dense: { units: code } }, ...hidden(back), 'dense'];
  },
};
