import { adam, adamDefaults, emitMoments } from './adam.js';
import { decayDefaults, withDecay, type Optimizer, type Updated } from './optimizer.js';

export const adamw: Optimizer = {
  summary: 'Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)',
  defaults: { ...adamDefaults, ...decayDefaults, weightDecay: 0.004 },
  slots: () => ({ mean: 0, variance: 0 }),
  scalars: (options, step) => ({
    ...adam.scalars(options, step),
    decay: Number(options['learningRate']) * Number(options['weightDecay']),
  }),
  emit(g, update, options): Updated {
    const { direction, slots } = emitMoments(g, update, options);
    const step = g.op('Mul', [direction, update.scalars['rate']!]);
    const move = withDecay(g, update, step, options);
    return { parameter: g.op('Sub', [update.parameter, move]), slots };
  },
};
