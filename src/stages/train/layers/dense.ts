import { z } from 'zod';
import { activationNames, activations } from './activations.js';
import { initializerNames } from './initializers.js';
import type { Layer } from './layer.js';

const options = z.strictObject({
  units: z
    .union([z.int().min(1), z.literal('auto')], { error: 'expected a whole number of 1 or more, or auto' })
    .default('auto')
    .describe('Outputs. In the last layer auto, the default: one for each class, or one for an amount.'),
  activation: z.enum(activationNames).default('linear').describe('Function of each output.'),
  useBias: z.boolean().default(true).describe('Whether each output has an offset of its own.'),
  kernelInitializer: z.enum(initializerNames).default('glorotUniform').describe('First weights.'),
  biasInitializer: z.enum(initializerNames).default('zeros').describe('First offsets.'),
});

export type DenseOptions = z.output<typeof options>;

/** activation(x · kernel + bias) */
export const dense: Layer<DenseOptions> = {
  summary: 'every output depends on every input',
  options,
  emit({ g, name, weight }, x, { units, activation, useBias, kernelInitializer, biasInitializer }) {
    const inputs = Number(g.shapeOf(x).at(-1));
    const fans = { in: inputs, out: Number(units) };
    const kernel = weight('kernel', [inputs, fans.out], kernelInitializer, fans);
    const bias = useBias ? [weight('bias', [fans.out], biasInitializer, fans)] : [];
    // Gemm is faster, and for matrices only.
    const isMatrix = g.rankOf(x) === 2;
    const product = isMatrix && useBias ? 'Gemm' : 'MatMul';
    const sum = g.op(product, [x, kernel, ...(isMatrix ? bias : [])], {}, { name });
    const output = isMatrix || !useBias ? sum : g.op('Add', [sum, ...bias], {}, { name: `${name}/sum` });
    return activations[activation](g, output);
  },
};
