import { decayDefaults, decays, withDecay, type Optimizer, type Updated } from './optimizer.js';

export const sgd: Optimizer = {
  summary: 'stochastic gradient descent, with momentum and decoupled weight decay if asked for',
  defaults: { learningRate: 0.01, momentum: 0, nesterov: false, ...decayDefaults },
  slots: ({ momentum }): Record<string, number> => (Number(momentum) > 0 ? { velocity: 0 } : {}),
  scalars: ({ learningRate, weightDecay }): Record<string, number> => ({
    learningRate: Number(learningRate),
    ...(Number(weightDecay) > 0 && { decay: Number(learningRate) * Number(weightDecay) }),
  }),
  /** v ← μ·v − α·g; θ ← θ + v, or θ + μ·v − α·g after Nesterov; less α·λ·θ where weights decay. */
  emit(g, update, options): Updated {
    const { parameter, gradient, slots, scalars } = update;
    const step = g.op('Mul', [gradient, scalars['learningRate']!]);
    const old = slots['velocity'];
    if (old === undefined) {
      return { parameter: g.op('Sub', [parameter, withDecay(g, update, step, options)]), slots: {} };
    }
    const coast = (velocity: string) =>
      g.op('Sub', [g.op('Mul', [velocity, g.scalar(Number(options['momentum']))]), step]);
    const velocity = coast(old);
    const move = options['nesterov'] === true ? coast(velocity) : velocity;
    const moved = g.op('Add', [parameter, move]);
    if (!decays(g, parameter, options)) return { parameter: moved, slots: { velocity } };
    const shrinkage = g.op('Mul', [parameter, scalars['decay']!]);
    return { parameter: g.op('Sub', [moved, shrinkage]), slots: { velocity } };
  },
};
