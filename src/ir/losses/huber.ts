import type { Loss } from './loss.js';
import { likePrediction, mean, number, scale } from './values.js';

export const huber: Loss = {
  summary: 'half the square of errors up to delta, and linear beyond (Huber, 1964)',
  task: 'regression',
  defaults: { delta: 1 },
  weighsClasses: false,
  /** With q = min(|d|, δ): q·(|d| − q/2). */
  emit(g, { prediction, target }, options = {}) {
    const delta = Number(options['delta'] ?? huber.defaults['delta']);
    const error = g.op('Abs', [g.op('Sub', [prediction, likePrediction(g, target, prediction)])]);
    const near = g.op('Clip', [error, '', number(g, delta, error)]);
    return mean(g, g.op('Mul', [near, g.op('Sub', [error, scale(g, near, 0.5)])]));
  },
};
