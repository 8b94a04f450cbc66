import { z } from 'zod';
import { attr } from '../../../ir/graph.js';
import { tensor } from '../../../ir/tensor.js';
import { initializerNames } from './initializers.js';
import type { Layer, Site } from './layer.js';
import { expectRank } from './shapes.js';

const attentionOptions = z.strictObject({
  numHeads: z.int().min(1).describe('Heads, each with its own view of the steps.'),
  keyDim: z
    .int()
    .min(1)
    .optional()
    .describe('Size of each head. Default: the features divided by the heads.'),
  useCausalMask: z.boolean().default(false).describe('Whether a step sees only itself and those before it.'),
  useBias: z.boolean().default(true).describe('Whether the projections have offsets.'),
  dropout: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe('Share of the attention that is left out in training.'),
  kernelInitializer: z.enum(initializerNames).default('glorotUniform').describe('First weights.'),
});

/** A score that no softmax gives a share to. */
const never = -1e9;

/** softmax(q·kᵀ/√d)·v for each head, of a sequence with itself (Vaswani et al., arXiv:1706.03762). */
export const multiHeadAttention: Layer<z.output<typeof attentionOptions>> = {
  summary: 'each step gathers from all steps what it asks for',
  options: attentionOptions,
  emit(site, x, { numHeads, keyDim, useCausalMask, useBias, dropout, kernelInitializer }) {
    const { g, name } = site;
    const [steps, features] = expectRank(site, x, 2) as [number, number];
    if (keyDim === undefined && features % numHeads !== 0) {
      throw site.misfit(
        `${numHeads} heads do not divide ${features} features evenly`,
        'Choose heads that divide the features, or state keyDim.',
      );
    }
    const size = keyDim ?? features / numHeads;
    const width = numHeads * size;
    const project = (from: string, part: string, inputs: number, outputs: number): string => {
      const fans = { in: inputs, out: outputs };
      const kernel = site.weight(`${part}Kernel`, [inputs, outputs], kernelInitializer, fans);
      const product = g.op('MatMul', [from, kernel], {}, { name: `${name}/${part}` });
      return useBias ? g.op('Add', [product, site.weight(`${part}Bias`, [outputs], 'zeros', fans)]) : product;
    };
    /** [N, steps, width] → [N, heads, …] */
    const split = (part: string, perm: readonly number[]): string => {
      const heads = g.op('Reshape', [
        project(x, part, features, width),
        g.int64s([0, steps, numHeads, size]),
      ]);
      return g.op('Transpose', [heads], { perm: attr.ints(perm) });
    };
    const [query, key, value] = [
      split('query', [0, 2, 1, 3]),
      split('key', [0, 2, 3, 1]),
      split('value', [0, 2, 1, 3]),
    ];
    const scaled = g.op('Mul', [query, g.scalar(1 / Math.sqrt(size))]);
    const scores = g.op('MatMul', [scaled, key]);
    const masked = useCausalMask ? g.op('Add', [scores, causalMask(site, steps)]) : scores;
    const shares = g.op('Softmax', [masked], { axis: attr.int(-1) });
    const kept = dropout > 0 ? g.op('Dropout', [shares, g.scalar(dropout)]) : shares;
    const gathered = g.op('Transpose', [g.op('MatMul', [kept, value])], { perm: attr.ints([0, 2, 1, 3]) });
    return project(g.op('Reshape', [gathered, g.int64s([0, steps, width])]), 'output', width, features);
  },
};

/** [steps, steps]: 0 for a step and those before it. */
function causalMask({ g }: Site, steps: number): string {
  const values = Float32Array.from({ length: steps * steps }, (_, at) =>
    at % steps > Math.floor(at / steps) ? never : 0,
  );
  return g.constant(tensor('float32', [steps, steps], values), 'causal_mask');
}

const positionOptions = z.strictObject({
  embeddingsInitializer: z.enum(initializerNames).default('randomUniform').describe('First weights.'),
});

/** Adds a learned vector to each step, so that steps know their place. */
export const positionEmbedding: Layer<z.output<typeof positionOptions>> = {
  summary: 'a learned vector for each step, added to it',
  options: positionOptions,
  emit(site, x, { embeddingsInitializer }) {
    const [steps, features] = expectRank(site, x, 2) as [number, number];
    const embeddings = site.weight('embeddings', [steps, features], embeddingsInitializer, {
      in: steps,
      out: features,
    });
    return site.g.op('Add', [x, embeddings], {}, { name: site.name });
  },
};
