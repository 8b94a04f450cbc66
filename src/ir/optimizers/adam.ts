import type { GraphBuilder } from '../builder.js';
import { accumulate, type Optimizer, type OptimizerOptions, type Update, type Updated } from './optimizer.js';

export const adamDefaults = { learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };

/**
 * The slots hold M = m/(1−β₁) and V = v/(1−β₂), which saves two products for each parameter. The factors that were left
 * out, and the corrections 1−β^t of the bias, are here: with s = √((1−β₂)/(1−β₂^t)),
 * m̂/(√v̂ + ε) = [(1−β₁)/((1−β₁^t)·s)] · M/(√V + ε/s).
 */
export function correctBias(
  { beta1, beta2, epsilon }: OptimizerOptions,
  step: number,
): { readonly correction: number; readonly epsilon: number } {
  const [first, second] = [Number(beta1), Number(beta2)];
  const spread = Math.sqrt((1 - second) / (1 - second ** step));
  return {
    correction: (1 - first) / ((1 - first ** step) * spread),
    epsilon: Number(epsilon) / spread,
  };
}

/** Emits the moments after a step, and M/(√V + ε/s). */
export function emitMoments(
  g: GraphBuilder,
  { gradient, slots, scalars }: Update,
  { beta1, beta2 }: OptimizerOptions,
): { readonly direction: string; readonly slots: Updated['slots'] } {
  const mean = accumulate(g, slots['mean']!, Number(beta1), gradient);
  const square = g.op('Mul', [gradient, gradient]);
  const variance = accumulate(g, slots['variance']!, Number(beta2), square);
  const scale = g.op('Add', [g.op('Sqrt', [variance]), scalars['epsilon']!]);
  return { direction: g.op('Div', [mean, scale]), slots: { mean, variance } };
}

export const adam: Optimizer = {
  summary: 'adaptive moments (Kingma and Ba, arXiv:1412.6980, algorithm 1)',
  defaults: adamDefaults,
  slots: () => ({ mean: 0, variance: 0 }),
  scalars(options, step) {
    const { correction, epsilon } = correctBias(options, step);
    return { rate: Number(options['learningRate']) * correction, epsilon };
  },
  emit(g, update, options): Updated {
    const { direction, slots } = emitMoments(g, update, options);
    const step = g.op('Mul', [direction, update.scalars['rate']!]);
    return { parameter: g.op('Sub', [update.parameter, step]), slots };
  },
};
