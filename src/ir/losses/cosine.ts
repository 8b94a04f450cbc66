import type { Loss } from './loss.js';
import { lengths, likePrediction, mean, mismatch, sumOver, valuesPerRow } from './values.js';

export const cosineSimilarity: Loss = {
  summary: '−cos of the angle between predicted and true vectors: −1 for the same direction',
  task: 'regression',
  defaults: {},
  weighsClasses: false,
  emit(g, { prediction, target }) {
    if (valuesPerRow(g, prediction) < 2)
      throw mismatch(g, prediction, target, 'vectors of two values or more');
    const truth = likePrediction(g, target, prediction);
    const product = sumOver(g, g.op('Mul', [prediction, truth]), -1);
    const scale = g.op('Mul', [lengths(g, prediction), lengths(g, truth)]);
    return g.op('Neg', [mean(g, g.op('Div', [product, scale]))]);
  },
};
