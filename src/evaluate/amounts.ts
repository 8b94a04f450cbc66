import { mean } from './mean.js';

/** Figures of predicted amounts against true ones. All errors are 0 for no rows. */

type Numbers = ArrayLike<number>;

/** Mean squared error. */
export function mse(truth: Numbers, predicted: Numbers): number {
  return mean(truth.length, (index) => (truth[index]! - predicted[index]!) ** 2);
}

/** Mean absolute error. */
export function mae(truth: Numbers, predicted: Numbers): number {
  return mean(truth.length, (index) => Math.abs(truth[index]! - predicted[index]!));
}

/** Median of the absolute errors; NaN when one of them is no number. */
export function medianAbsoluteError(truth: Numbers, predicted: Numbers): number {
  const count = truth.length;
  if (count === 0) return 0;
  const errors = Float64Array.from({ length: count }, (_, at) =>
    Math.abs(truth[at]! - predicted[at]!),
  ).sort();
  // Typed arrays sort NaN to their end.
  if (Number.isNaN(errors[count - 1]!)) return NaN;
  return (errors[(count - 1) >> 1]! + errors[count >> 1]!) / 2;
}

/** Mean of the absolute errors as shares of the true amounts; NaN when one of these is 0. */
export function mape(truth: Numbers, predicted: Numbers): number {
  return mean(truth.length, (index) =>
    truth[index] === 0 ? NaN : Math.abs((truth[index]! - predicted[index]!) / truth[index]!),
  );
}

/**
 * Coefficient of determination: the share of the truth's variance that the prediction explains. When the truth does
 * not vary it is 1 for a perfect prediction and 0 for any other.
 */
export function r2(truth: Numbers, predicted: Numbers): number {
  return explained(
    mse(truth, predicted),
    variance(truth.length, (index) => truth[index]!),
  );
}

/** As `r2`, but an error that is the same for all rows does not count. */
export function explainedVariance(truth: Numbers, predicted: Numbers): number {
  const left = variance(truth.length, (index) => truth[index]! - predicted[index]!);
  return explained(
    left,
    variance(truth.length, (index) => truth[index]!),
  );
}

function explained(left: number, total: number): number {
  if (total === 0) return left === 0 ? 1 : 0;
  return 1 - left / total;
}

function variance(count: number, termOf: (index: number) => number): number {
  const centre = mean(count, termOf);
  return mean(count, (index) => (termOf(index) - centre) ** 2);
}
