/** Figures that compare predictions with the truth, or two models with each other. All are 0 for no rows. */

type Numbers = ArrayLike<number>;

function mean(count: number, termOf: (index: number) => number): number {
  let sum = 0;
  for (let index = 0; index < count; index++) sum += termOf(index);
  return count === 0 ? 0 : sum / count;
}

/** Share of places where two lists of labels are equal: accuracy against the truth, agreement of two models. */
export function accuracy(truth: readonly string[], predicted: readonly string[]): number {
  return mean(truth.length, (index) => (truth[index] === predicted[index] ? 1 : 0));
}

/** A probability below this counts as this: float32 has no finer steps below 1. */
const leastProbability = 2 ** -24;

/**
 * Mean of −log(probability of the true class), in nats.
 * @param truth Class index of each row.
 * @param probabilities [rows, classes], row-major.
 */
export function logLoss(truth: Numbers, probabilities: Numbers, classes: number): number {
  return mean(truth.length, (row) => {
    const probability = probabilities[row * classes + truth[row]!]!;
    // Written so that NaN stays NaN.
    return -Math.log(probability < leastProbability ? leastProbability : probability);
  });
}

/** For each label that occurs among the truth: the share of its rows that were predicted so. */
export function recall(truth: readonly string[], predicted: readonly string[]): Record<string, number> {
  const counts = new Map<string, { rows: number; hits: number }>();
  truth.forEach((label, index) => {
    const count = counts.get(label) ?? { rows: 0, hits: 0 };
    counts.set(label, {
      rows: count.rows + 1,
      hits: count.hits + (predicted[index] === label ? 1 : 0),
    });
  });
  return Object.fromEntries([...counts].map(([label, { rows, hits }]) => [label, hits / rows]));
}

/** Mean squared error. */
export function mse(truth: Numbers, predicted: Numbers): number {
  return mean(truth.length, (index) => (truth[index]! - predicted[index]!) ** 2);
}

/** Mean absolute error. */
export function mae(truth: Numbers, predicted: Numbers): number {
  return mean(truth.length, (index) => Math.abs(truth[index]! - predicted[index]!));
}

/**
 * Coefficient of determination: the share of the truth's variance that the prediction explains. When the truth does
 * not vary it is 1 for a perfect prediction and 0 for any other.
 */
export function r2(truth: Numbers, predicted: Numbers): number {
  const centre = mean(truth.length, (index) => truth[index]!);
  const total = mean(truth.length, (index) => (truth[index]! - centre) ** 2);
  const left = mse(truth, predicted);
  if (total === 0) return left === 0 ? 1 : 0;
  return 1 - left / total;
}

/** Power of `reference` over the power of the difference, in dB; Infinity when the two are equal. */
export function signalToNoise(reference: Numbers, other: Numbers): number {
  let signal = 0;
  let noise = 0;
  for (let index = 0; index < reference.length; index++) {
    signal += reference[index]! ** 2;
    noise += (reference[index]! - other[index]!) ** 2;
  }
  return noise === 0 ? Infinity : 10 * Math.log10(signal / noise);
}
