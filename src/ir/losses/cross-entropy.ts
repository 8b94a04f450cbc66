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

const ofClasses = { task: 'classification', defaults: classDefaults, weighsClasses: true } as const;

/** −Σ truth·log(prediction), the mean over the rows; both [.., C]. */
function crossEntropy(g: GraphBuilder, prediction: string, rows: string, options: LossOptions): string {
  const classes = classesOf(g, prediction);
  const truth = weigh(g, smooth(g, rows, classes, options), options.classWeights);
  return scale(g, mean(g, g.op('Mul', [truth, logOfRows(g, prediction)])), -classes);
}

export const sparseCategoricalCrossentropy: Loss = {
  ...ofClasses,
  summary: 'cross-entropy of class probabilities with class indices',
  emit: (g, inputs, options = {}) => crossEntropy(g, inputs.prediction, oneHot(g, inputs), options),
};

export const categoricalCrossentropy: Loss = {
  ...ofClasses,
  summary: 'cross-entropy of class probabilities with rows of probabilities, or with class indices',
  emit: (g, inputs, options = {}) => crossEntropy(g, inputs.prediction, rowsOf(g, inputs), options),
};

export const binaryCrossentropy: Loss = {
  ...ofClasses,
  summary: 'cross-entropy of the probability of class 1 with 0 or 1',
  emit(g, inputs, options = {}) {
    const { prediction, target } = inputs;
    if (isPair(g, inputs)) return crossEntropy(g, prediction, oneHot(g, inputs), options);
    const sure = likePrediction(g, target, prediction);
    const truth = smooth(g, sure, 2, options);
    const logits = logitsOf(g, prediction, 'Sigmoid');
    let loss: string;
    if (logits === undefined) {
      const likelihood = g.op('Add', [
        g.op('Mul', [truth, safeLog(g, prediction)]),
        g.op('Mul', [rest(g, truth), safeLog(g, rest(g, prediction))]),
      ]);
      loss = g.op('Neg', [likelihood]);
    } else {
      // −y·log σ(z) − (1−y)·log(1−σ(z)) = softplus(z) − y·z, without a logarithm of 0.
      loss = g.op('Sub', [g.op('Softplus', [logits]), g.op('Mul', [truth, logits])]);
    }
    const { classWeights } = options;
    return mean(g, classWeights ? g.op('Mul', [loss, weightOf(g, sure, classWeights)]) : loss);
  },
};

/** The weight of each row's class, from 0 or 1: w₀ + y·(w₁ − w₀). */
function weightOf(g: GraphBuilder, truth: string, [zero = 1, one = 1]: readonly number[]): string {
  return g.op('Add', [scale(g, truth, one - zero), number(g, zero, truth)]);
}
