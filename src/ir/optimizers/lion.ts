import { accumulate, decayDefaults, decays, type Optimizer, type Updated } from './optimizer.js';

export const lion: Optimizer = {
  summary: 'sign of the momentum, with decoupled weight decay (Chen and others, arXiv:2302.06675)',
  defaults: { learningRate: 0.001, beta1: 0.9, beta2: 0.99, ...decayDefaults },
  slots: () => ({ momentum: 0 }),
  scalars: ({ learningRate }) => ({ learningRate: Number(learningRate) }),
  /** θ ← θ − α·(sign(β₁·m + (1−β₁)·g) + λ·θ); m ← β₂·m + (1−β₂)·g. */
  emit(g, { parameter, gradient, slots, scalars }, options): Updated {
    const old = slots['momentum']!;
    const blend = (beta: number) => accumulate(g, old, beta, g.op('Mul', [gradient, g.scalar(1 - beta)]));
    const sign = g.op('Sign', [blend(Number(options['beta1']))]);
    const direction = decays(g, parameter, options)
      ? g.op('Add', [sign, g.op('Mul', [parameter, g.scalar(Number(options['weightDecay']))])])
      : sign;
    const step = g.op('Mul', [direction, scalars['learningRate']!]);
    return {
      parameter: g.op('Sub', [parameter, step]),
      slots: { momentum: blend(Number(options['beta2'])) },
    };
  },
};
