import { z } from 'zod';
import { initializerNames } from './initializers.js';
import type { Layer } from './layer.js';

const options = z.strictObject({
  inputDim: z
    .union([z.int().min(1), z.literal('auto')], { error: 'expected a whole number of 1 or more, or auto' })
    .default('auto')
    .describe('Ids that there are: 0 to one less. Default: as many as the data has.'),
  outputDim: z.int().min(1).describe('Numbers of each vector.'),
  embeddingsInitializer: z.enum(initializerNames).default('randomUniform').describe('First vectors.'),
});

/** [N, steps] → [N, steps, outputDim] */
export const embedding: Layer<z.output<typeof options>> = {
  summary: 'a learned vector for each id',
  takes: 'ids',
  options,
  emit(site, x, { inputDim, outputDim, embeddingsInitializer }) {
    const { g, name, ids } = site;
    if (inputDim === 'auto' && ids === undefined) {
      throw site.misfit(
        'cannot tell how many ids there are',
        'Write inputDim: one more than the greatest id.',
      );
    }
    if (inputDim !== 'auto' && ids !== undefined && inputDim < ids) {
      throw site.misfit(`has vectors for ${inputDim} ids, the data has ${ids}`, 'Leave inputDim out.');
    }
    const count = inputDim === 'auto' ? ids! : inputDim;
    const table = site.weight('embeddings', [count, outputDim], embeddingsInitializer, {
      in: count,
      out: outputDim,
    });
    return g.op('Gather', [table, x], {}, { name });
  },
};
