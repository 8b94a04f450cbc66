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
    const product = along(g, 'ReduceSum', g.op('Mul', [prediction, truth]));
    const lengths = g.op('Mul', [length(g, prediction), length(g, truth)]);
    return g.op('Neg', [mean(g, g.op('Div', [product, lengths]))]);
  },
};

function along(g: GraphBuilder, op: string, value: string): string {
  return g.op(op, [value, g.int64s([-1])], { keepdims: attr.int(0) });
}

/** The length of each vector, at least 1e-8 as in PyTorch: nothing is divided by 0. */
function length(g: GraphBuilder, value: string): string {
  return g.op('Clip', [along(g, 'ReduceL2', value), number(g, 1e-8, value)]);
}
