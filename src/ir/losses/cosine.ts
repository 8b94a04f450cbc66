import type { GraphBuilder } from '../builder.js';
import { attr } from '../graph.js';
import type { Loss } from './loss.js';
import { likePrediction, mean, mismatch, number, valuesPerRow } from './values.js';

export const cosineSimilarity: Loss = {
  summary: '−cos of the angle between predicted and true vectors: −1 for the same direction',
  task: 'regression',
  defaults: {},
  weighsClasses: false,
  emit(g, { prediction, target }) {
    if (valuesPerRow(g, prediction) < 2)
      throw mismatch(g, prediction, target, 'vectors of two values or more');
    const truth = likePrediction(g, target, prediction);
    const product = along(g, g.op('Mul', [prediction, truth]));
    const lengths = g.op('Mul', [length(g, prediction), length(g, truth)]);
    return g.op('Neg', [mean(g, g.op('Div', [product, lengths]))]);
  },
};

function along(g: GraphBuilder, value: string): string {
  return g.op('ReduceSum', [value, g.int64s([-1])], { keepdims: attr.int(0) });
}

/**
 * The length of each vector, at least 1e-8 as in PyTorch: nothing is divided by 0, nor is the slope of a root infinite.
 * ReduceL2 is not the same in all operator sets that are trained.
 */
function length(g: GraphBuilder, value: string): string {
  const square = along(g, g.op('Mul', [value, value]));
  return g.op('Sqrt', [g.op('Clip', [square, number(g, 1e-16, value)])]);
}
