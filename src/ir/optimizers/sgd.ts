import type { Optimizer, Updated } from './optimizer.js';

export const sgd: Optimizer = {
  summary: 'stochastic gradient descent, with momentum if asked for',
  defaults: { learningRate: 0.01, momentum: 0, nesterov: false },
  slots: ({ momentum }): Record<string, number> => (Number(momentum) > 0 ? { velocity: 0 } : {}),
  scalars: ({ learningRate }) => ({ learningRate: Number(learningRate) }),
  /** v ← μ·v − α·g; θ ← θ + v, or θ + μ·v − α·g after Nesterov. */
  emit(g, { parameter, gradient, slots, scalars }, { momentum, nesterov }): Updated {
    const step = g.op('Mul', [gradient, scalars['learningRate']!]);
    const old = slots['velocity'];
    if (old === undefined) return { parameter: g.op('Sub', [parameter, step]), slots: {} };
    const coast = (velocity: string) =>
      g.op('Sub', [g.op('Mul', [velocity, g.scalar(Number(momentum))]), step]);
    const velocity = coast(old);
    const move = nesterov === true ? coast(velocity) : velocity;
    return { parameter: g.op('Add', [parameter, move]), slots: { velocity } };
  },
};
