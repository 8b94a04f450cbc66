import { classesOf, logOfRows, rowsOf, safeLog } from './classes.js';
import type { Loss } from './loss.js';
import { mean, scale } from './values.js';

export const klDivergence: Loss = {
  summary: 'Kullback–Leibler divergence of class probabilities from rows of probabilities: Σ y·log(y/ŷ)',
  task: 'classification',
  defaults: {},
  weighsClasses: false,
  emit(g, inputs) {
    const truth = rowsOf(g, inputs);
    const gap = g.op('Sub', [safeLog(g, truth), logOfRows(g, inputs.prediction)]);
    return scale(g, mean(g, g.op('Mul', [truth, gap])), classesOf(g, inputs.prediction));
  },
};
