import { z } from 'zod';
import { dropoutOf, dropoutRate, type LayerConfig, type Preset } from './preset.js';
import { embedSteps, sequenceShape } from './row-shape.js';

const options = z
  .strictObject({
    shape: sequenceShape,
    units: z.int().min(1).default(64).describe('Features of each step inside the model.'),
    heads: z.int().min(1).default(4).describe('Heads of each attention; they divide the units.'),
    layers: z.int().min(1).default(2).describe('Attentions, each with a feed-forward part after it.'),
    dropout: dropoutRate(0.1, 'after each attention and feed-forward part'),
  })
  .refine(({ units, heads }) => units % heads === 0, {
    error: 'the heads must divide the units evenly',
    path: ['heads'],
  });

/** Hidden features of the feed-forward part for each of the model's, as in the paper. */
const expansion = 4;

/**
 * An encoder (Vaswani et al., arXiv:1706.03762) that normalizes before each part, which needs no warm-up (Xiong et al.,
 * arXiv:2002.04745); the last layer gets the mean of the steps. Where
 * each step predicts the next, it is a decoder: no step sees those after it.
 */
export const transformer: Preset<z.output<typeof options>> = {
  summary: 'attention between steps, for sequences',
  options,
  layers({ shape, units, heads, layers, dropout }, site) {
    const block: LayerConfig[] = [
      {
        residual: {
          layers: [
            'layerNormalization',
            { multiHeadAttention: { numHeads: heads, useCausalMask: site.isNext } },
            ...dropoutOf(dropout),
          ],
        },
      },
      {
        residual: {
          layers: [
            'layerNormalization',
            { dense: { units: expansion * units, activation: 'gelu' } },
            { dense: { units } },
            ...dropoutOf(dropout),
          ],
        },
      },
    ];
    return [
      ...embedSteps(site, shape, units, [{ dense: { units } }]),
      'positionEmbedding',
      ...Array.from({ length: layers }, () => block).flat(),
      'layerNormalization',
      ...(site.isNext ? [] : ['globalAveragePooling1d']),
      'dense',
    ];
  },
};
