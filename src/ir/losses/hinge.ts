import type { GraphBuilder } from '../builder.js';
import { attr } from '../graph.js';
import { isPair, logitsOf, oneHot, rowsOf } from './classes.js';
import type { Loss, LossInputs } from './loss.js';
import { likePrediction, mean, number, rest, scale } from './values.js';

/** Margins belong to scores: behind a softmax or a sigmoid the losses look at what it was taken of. */
const margins = { task: 'classification', defaults: {}, weighsClasses: false } as const;

/** max(0, 1 − y·s) with y = ±1 and a score s for class 1; of two scores s is the difference. */
function shortfall(g: GraphBuilder, inputs: LossInputs): string {
  const { prediction, target } = inputs;
  let product: string;
  if (isPair(g, inputs)) {
    const sign = g.op('Sub', [scale(g, oneHot(g, inputs), 2), number(g, 1, prediction)]);
    const scores = logitsOf(g, prediction, 'Softmax') ?? prediction;
    product = g.op('ReduceSum', [g.op('Mul', [sign, scores]), g.int64s([-1])], { keepdims: attr.int(0) });
  } else {
    const truth = likePrediction(g, target, prediction);
    const sign = g.op('Sub', [scale(g, truth, 2), number(g, 1, truth)]);
    product = g.op('Mul', [sign, logitsOf(g, prediction, 'Sigmoid') ?? prediction]);
  }
  return g.op('Relu', [rest(g, product)]);
}

export const hinge: Loss = {
  ...margins,
  summary: 'how far scores fall short of a margin of 1, for two classes',
  emit: (g, inputs) => mean(g, shortfall(g, inputs)),
};

export const squaredHinge: Loss = {
  ...margins,
  summary: 'the square of the hinge loss, for two classes',
  emit(g, inputs) {
    const missing = shortfall(g, inputs);
    return mean(g, g.op('Mul', [missing, missing]));
  },
};

export const categoricalHinge: Loss = {
  ...margins,
  summary:
    'how far the score of the true class falls short of a lead of 1 over the best other (Crammer and Singer)',
  emit(g, inputs) {
    const truth = rowsOf(g, inputs);
    const scores = logitsOf(g, inputs.prediction, 'Softmax') ?? inputs.prediction;
    const over = { keepdims: attr.int(0) };
    const own = g.op('ReduceSum', [g.op('Mul', [truth, scores]), g.int64s([-1])], over);
    // The true class itself is out of the race, whatever the sign of the scores.
    const aside = g.op('Sub', [scores, scale(g, truth, 1e9)]);
    // TopK is the same in all operator sets that are trained, ReduceMax is not.
    const best = g.op('Squeeze', [
      g.ops('TopK', [aside, g.int64s([1])], {}, { outputs: 2 })[0]!,
      g.int64s([-1]),
    ]);
    return mean(g, g.op('Relu', [g.op('Add', [rest(g, own), best])]));
  },
};
