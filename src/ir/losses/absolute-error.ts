import type { Loss } from './loss.js';
import { likePrediction, mean } from './values.js';

export const meanAbsoluteError: Loss = {
  summary: 'mean of |ŷ − y|: outliers count in proportion',
  task: 'regression',
  defaults: {},
  weighsClasses: false,
  emit(g, { prediction, target }) {
    return mean(g, g.op('Abs', [g.op('Sub', [prediction, likePrediction(g, target, prediction)])]));
  },
};
