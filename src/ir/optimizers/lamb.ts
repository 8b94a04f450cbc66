import type { GraphBuilder } from '../builder.js';
import { attr } from '../graph.js';
import { adamDefaults, correctBias, emitMoments } from './adam.js';
import { decayDefaults, decays, type Optimizer, type Updated } from './optimizer.js';

export const lamb: Optimizer = {
  summary:
    'Adam with steps in proportion to the weights, for large batches (You and others, arXiv:1904.00962)',
  defaults: { ...adamDefaults, ...decayDefaults },
  looksAtWhole: true,
  slots: () => ({ mean: 0, variance: 0 }),
  scalars: (options, step) => ({
    learningRate: Number(options['learningRate']),
    ...correctBias(options, step),
  }),
  /** r = m̂/(√v̂ + ε) + λ·θ; θ ← θ − α·(‖θ‖/‖r‖)·r, with 1 in place of the ratio where either norm is 0. */
  emit(g, update, options): Updated {
    const { parameter, scalars } = update;
    const { direction, slots } = emitMoments(g, update, options);
    const adaptive = g.op('Mul', [direction, scalars['correction']!]);
    const r = decays(g, parameter, options)
      ? g.op('Add', [adaptive, g.op('Mul', [parameter, g.scalar(Number(options['weightDecay']))])])
      : adaptive;
    const rate = g.op('Mul', [trust(g, parameter, r), scalars['learningRate']!]);
    return { parameter: g.op('Sub', [parameter, g.op('Mul', [r, rate])]), slots };
  },
};

function trust(g: GraphBuilder, parameter: string, r: string): string {
  const norm = (name: string) => g.op('ReduceL2', [name], { keepdims: attr.int(0) });
  const [weights, step] = [norm(parameter), norm(r)];
  const both = g.op('Greater', [g.op('Mul', [weights, step]), g.scalar(0)]);
  return g.op('Where', [both, g.op('Div', [weights, step]), g.scalar(1)]);
}
