import type { GraphBuilder } from '../builder.js';
import {
  classDefaults,
  classesOf,
  isPair,
  logitsOf,
  logOfRows,
  oneHot,
  rowsOf,
  safeLog,
  smooth,
  weigh,
} from './classes.js';
import type { Loss, LossOptions } from './loss.js';
import { likePrediction, mean, number, rest, scale } from './values.js';

/** Focal losses (Lin and others, arXiv:1708.02002): what is predicted well already counts less, by (1 − p)^γ. */
const focal = { task: 'classification', defaults: { gamma: 2, alpha: 0.25, ...classDefaults } } as const;

/** p^γ; p is kept off 0, where the slope of a root is infinite. */
function power(g: GraphBuilder, probability: string, gamma: number): string {
  const base = g.op('Clip', [probability, number(g, 1e-7, probability), number(g, 1, probability)]);
  return g.op('Pow', [base, number(g, gamma, probability)]);
}

/** −Σ truth·(1 − p)^γ·log p, the mean over the rows; both [.., C]. */
function focalEntropy(g: GraphBuilder, prediction: string, truth: string, gamma: number): string {
  const doubt = power(g, rest(g, prediction), gamma);
  const parts = g.op('Mul', [truth, g.op('Mul', [doubt, logOfRows(g, prediction)])]);
  return scale(g, mean(g, parts), -classesOf(g, prediction));
}

export const categoricalFocalCrossentropy: Loss = {
  ...focal,
  summary: 'focal cross-entropy of class probabilities with class indices, or with rows of probabilities',
  weighsClasses: true,
  emit(g, inputs, given = {}) {
    const options: LossOptions = { ...focal.defaults, ...given };
    const smoothed = smooth(g, rowsOf(g, inputs), classesOf(g, inputs.prediction), options);
    const truth = scale(g, weigh(g, smoothed, options.classWeights), Number(options['alpha']));
    return focalEntropy(g, inputs.prediction, truth, Number(options['gamma']));
  },
};

export const binaryFocalCrossentropy: Loss = {
  ...focal,
  summary: 'focal cross-entropy of the probability of class 1 with 0 or 1',
  defaults: { ...focal.defaults, applyClassBalancing: false },
  weighsClasses: false,
  emit(g, inputs, given = {}) {
    const options: LossOptions = { ...binaryFocalCrossentropy.defaults, ...given };
    const { prediction, target } = inputs;
    const [gamma, alpha] = [Number(options['gamma']), Number(options['alpha'])];
    const weights = options['applyClassBalancing'] === true ? [1 - alpha, alpha] : undefined;
    const [zero, one] = weights ?? [1, 1];
    if (isPair(g, inputs)) {
      const truth = smooth(g, oneHot(g, inputs), 2, options);
      return focalEntropy(g, prediction, weigh(g, truth, weights), gamma);
    }
    const truth = smooth(g, likePrediction(g, target, prediction), 2, options);
    const other = rest(g, prediction);
    const [log, otherLog] = bothLogs(g, prediction, other);
    const part = (weight: number, share: string, doubt: string, logarithm: string) =>
      scale(g, g.op('Mul', [share, g.op('Mul', [power(g, doubt, gamma), logarithm])]), weight);
    const likelihood = g.op('Add', [
      part(one!, truth, other, log),
      part(zero!, rest(g, truth), prediction, otherLog),
    ]);
    return g.op('Neg', [mean(g, likelihood)]);
  },
};

/** log p and log(1 − p), straight from the logits where there are some: −softplus(∓z). */
function bothLogs(g: GraphBuilder, prediction: string, other: string): [string, string] {
  const logits = logitsOf(g, prediction, 'Sigmoid');
  if (logits === undefined) return [safeLog(g, prediction), safeLog(g, other)];
  const log = (z: string) => g.op('Neg', [g.op('Softplus', [z])]);
  return [log(g.op('Neg', [logits])), log(logits)];
}
