import { adam, adamDefaults, emitMoments } from './adam.js';
import { decayDefaults, decays, type Optimizer, type Updated } from './optimizer.js';

export const adamw: Optimizer = {
  summary: 'Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)',
  defaults: { ...adamDefaults, ...decayDefaults, weightDecay: 0.004 },
  slots: () => ({ mean: 0, variance: 0 }),
  scalars: (options, step) => ({
    ...adam.scalars(options, step),
    decay: Number(options['learningRate']) * Number(options['weightDecay']),
  }),
  emit(g, update, options): Updated {
    const { parameter, scalars } = update;
    const { direction, slots } = emitMoments(g, update, options);
    const step = g.op('Mul', [direction, scalars['rate']!]);
    // θ − (step + αλ·θ): as a factor 1 − αλ a small decay would be lost in rounding.
    const move = decays(g, parameter, options)
      ? g.op('Add', [step, g.op('Mul', [parameter, scalars['decay']!])])
      : step;
    return { parameter: g.op('Sub', [parameter, move]), slots };
  },
};
