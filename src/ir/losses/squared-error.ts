import type { GraphBuilder } from '../builder.js';
import type { Loss, LossInputs } from './loss.js';
import { likePrediction, mean, scale, valuesPerRow } from './values.js';

function meanOfSquares(g: GraphBuilder, { prediction, target }: LossInputs): string {
  const difference = g.op('Sub', [prediction, likePrediction(g, target, prediction)]);
  return mean(g, g.op('Mul', [difference, difference]));
}

const regression = { task: 'regression', defaults: {}, weighsClasses: false } as const;

export const meanSquaredError: Loss = {
  ...regression,
  summary: '1/(2n) Σ‖ŷ − y‖² over n rows',
  emit: (g, inputs) => scale(g, meanOfSquares(g, inputs), valuesPerRow(g, inputs.prediction) / 2),
};

export const mse: Loss = {
  ...regression,
  summary: 'mean of the squared errors over all values, as Keras and PyTorch count it',
  emit: meanOfSquares,
};
