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

/** Mean over the labels that occur among the truth of the share of their rows that were predicted so. */
export function balancedAccuracy(truth: readonly string[], predicted: readonly string[]): number {
  const shares = Object.values(recall(truth, predicted));
  return mean(shares.length, (index) => shares[index]!);
}

/** F1, 2·hits/(rows + predictions), as the mean over all labels that occur among truth or predictions. */
export function f1(truth: readonly string[], predicted: readonly string[]): number {
  const counts = new Map<string, { hits: number; seen: number }>();
  const count = (label: string, hits: number): void => {
    const old = counts.get(label) ?? { hits: 0, seen: 0 };
    counts.set(label, { hits: old.hits + hits, seen: old.seen + 1 });
  };
  truth.forEach((label, index) => {
    count(label, predicted[index] === label ? 1 : 0);
    count(predicted[index]!, 0);
  });
  const scores = [...counts.values()].map(({ hits, seen }) => (2 * hits) / seen);
  return mean(scores.length, (index) => scores[index]!);
}

/**
 * Area under the receiver operating characteristic: the chance that a row of class 1 scores above a row of class 0, where
 * a tie counts half. NaN without rows of both classes, and for scores that are no numbers.
 * @param truth 0 or 1 for each row.
 */
export function rocAuc(truth: Numbers, scores: Numbers): number {
  const order = Array.from({ length: truth.length }, (_, index) => index);
  if (order.some((index) => Number.isNaN(scores[index]!))) return NaN;
  order.sort((a, b) => scores[a]! - scores[b]!);
  let [positives, rankSum] = [0, 0];
  for (let start = 0; start < order.length;) {
    let end = start;
    while (end < order.length && scores[order[end]!] === scores[order[start]!]) end++;
    // Ranks count from 1; rows that tie share the mean of theirs.
    const rank = (start + 1 + end) / 2;
    for (const index of order.slice(start, end)) {
      if (truth[index] !== 1) continue;
      positives += 1;
      rankSum += rank;
    }
    start = end;
  }
  const pairs = positives * (order.length - positives);
  return pairs === 0 ? NaN : (rankSum - (positives * (positives + 1)) / 2) / pairs;
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
