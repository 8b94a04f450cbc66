import { z } from 'zod';
import { dropoutOf, dropoutRate, type LayerConfig, type Preset } from './preset.js';
import { embedSteps, sequenceShape } from './row-shape.js';

const options = z.strictObject({
  shape: sequenceShape,
  units: z
    .array(z.int().min(1))
    .min(1)
    .default([64])
    .describe('Outputs of a step of each layer, from the first to the last.'),
  bidirectional: z
    .boolean()
    .default(false)
    .describe('Whether each layer reads the sequence from both ends, with weights for each.'),
  embedding: z.int().min(1).default(64).describe('Numbers for each id, where the data is ids.'),
  dropout: dropoutRate(0, 'after each layer'),
});

/** Recurrent layers one on another (Hochreiter and Schmidhuber 1997); the last one gives what it knows at the end. */
export const lstm: Preset<z.output<typeof options>> = {
  summary: 'long short-term memory, for sequences',
  options,
  layers({ shape, units, bidirectional, embedding, dropout }, site) {
    if (bidirectional && site.isNext) {
      throw site.misfit(
        'reads from both ends, and each step is to predict the one after it',
        'Leave bidirectional out: it would see what it predicts.',
        'bidirectional',
      );
    }
    const hidden = units.flatMap((count, at): LayerConfig[] => {
      const layer = { lstm: { units: count, returnSequences: site.isNext || at < units.length - 1 } };
      return [bidirectional ? { bidirectional: { layer } } : layer, ...dropoutOf(dropout)];
    });
    return [...embedSteps(site, shape, embedding, []), ...hidden, 'dense'];
  },
};
