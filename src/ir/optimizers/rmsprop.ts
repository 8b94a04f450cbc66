import { accumulate, type Optimizer, type Updated } from './optimizer.js';

/**
 * v ← ρ·v + (1−ρ)·g²; θ ← θ − α·g/(√v + ε), where ε stands outside the root as it does in PyTorch. The slots hold
 * V = v/(1−ρ) and M = m/(1−ρ), which saves products; the scalars make up for it.
 */
export const rmsprop: Optimizer = {
  summary: 'steps divided by a running root mean square of the gradients (Tieleman and Hinton, 2012)',
  defaults: { learningRate: 0.001, rho: 0.9, momentum: 0, epsilon: 1e-7, centered: false },
  slots: ({ momentum, centered }) => ({
    square: 0,
    ...(centered === true && { mean: 0 }),
    ...(Number(momentum) > 0 && { velocity: 0 }),
  }),
  scalars({ learningRate, rho, epsilon }) {
    const spread = Math.sqrt(1 - Number(rho));
    return { rate: Number(learningRate) / spread, epsilon: Number(epsilon) / spread };
  },
  emit(g, { parameter, gradient, slots, scalars }, { rho, momentum }): Updated {
    const decay = Number(rho);
    const square = accumulate(g, slots['square']!, decay, g.op('Mul', [gradient, gradient]));
    const next: Record<string, string> = { square };
    let variance = square;
    if (slots['mean'] !== undefined) {
      const mean = accumulate(g, slots['mean'], decay, gradient);
      const part = g.op('Mul', [g.op('Mul', [mean, mean]), g.scalar(1 - decay)]);
      // Rounding may bring the difference below 0, where there is no root.
      variance = g.op('Max', [g.op('Sub', [square, part]), g.scalar(0)]);
      next['mean'] = mean;
    }
    const scale = g.op('Add', [g.op('Sqrt', [variance]), scalars['epsilon']!]);
    let step = g.op('Mul', [g.op('Div', [gradient, scale]), scalars['rate']!]);
    if (slots['velocity'] !== undefined) {
      step = accumulate(g, slots['velocity'], Number(momentum), step);
      next['velocity'] = step;
    }
    return { parameter: g.op('Sub', [parameter, step]), slots: next };
  },
};
