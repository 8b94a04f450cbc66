import { mean } from './mean.js';

/** Figures of class probabilities [rows, classes], row-major, against the index of each row's class. */

type Numbers = ArrayLike<number>;

/** A probability below this counts as this: float32 has no finer steps below 1. */
const leastProbability = 2 ** -24;

/**
 * Mean of −log(probability of the true class), in nats.
 * @param truth Class index of each row.
 */
export function logLoss(truth: Numbers, probabilities: Numbers, classes: number): number {
  return mean(truth.length, (row) => {
    const probability = probabilities[row * classes + truth[row]!]!;
    // Written so that NaN stays NaN.
    return -Math.log(probability < leastProbability ? leastProbability : probability);
  });
}

/** Share of rows whose class is among the `k` most probable; of equal ones the first come first. */
export function topAccuracy(truth: Numbers, probabilities: Numbers, classes: number, k: number): number {
  return mean(truth.length, (row) => {
    const start = row * classes;
    const own = truth[row]!;
    const probability = probabilities[start + own]!;
    if (Number.isNaN(probability)) return 0;
    let before = 0;
    for (let other = 0; other < classes; other++) {
      const rival = probabilities[start + other]!;
      if (rival > probability || (rival === probability && other < own)) before += 1;
    }
    return before < k ? 1 : 0;
  });
}

/** Bins of confidence of equal width, as Guo et al. (2017) and others since have it. */
const bins = 15;

/**
 * Expected calibration error (Naeini et al., 2015; Guo et al., 2017): the distance between the mean confidence and the
 * share of right predictions in each bin ((m−1)/15, m/15] of confidence, weighted by its rows.
 * @param right Whether each row was predicted right.
 */
export function calibrationError(right: readonly boolean[], probabilities: Numbers, classes: number): number {
  const distances = new Float64Array(bins);
  for (let row = 0; row < right.length; row++) {
    let confidence = probabilities[row * classes]!;
    for (let at = 1; at < classes; at++) {
      const probability = probabilities[row * classes + at]!;
      // Once it is NaN nothing is greater.
      if (probability > confidence || Number.isNaN(probability)) confidence = probability;
    }
    if (Number.isNaN(confidence)) return NaN;
    const bin = Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1));
    distances[bin]! += confidence - (right[row] ? 1 : 0);
  }
  return right.length === 0 ? 0 : distances.reduce((sum, each) => sum + Math.abs(each), 0) / right.length;
}

/**
 * Area under the receiver operating characteristic: the chance that a row of the class scores above a row of none, where
 * a tie counts half. NaN without rows of both kinds, and for scores that are no numbers.
 * @param isOf Whether a row is of the class.
 */
export function rocAuc(
  rows: number,
  isOf: (row: number) => boolean,
  scoreOf: (row: number) => number,
): number {
  const positives = new Float64Array(rows);
  const negatives = new Float64Array(rows);
  let [ones, zeros] = [0, 0];
  for (let row = 0; row < rows; row++) {
    const score = scoreOf(row);
    if (Number.isNaN(score)) return NaN;
    if (isOf(row)) positives[ones++] = score;
    else negatives[zeros++] = score;
  }
  if (ones === 0 || zeros === 0) return NaN;
  const own = positives.subarray(0, ones).sort();
  const rest = negatives.subarray(0, zeros).sort();
  let [below, upTo, wins] = [0, 0, 0];
  for (const score of own) {
    while (below < zeros && rest[below]! < score) below++;
    while (upTo < zeros && rest[upTo]! <= score) upTo++;
    wins += (below + upTo) / 2;
  }
  return wins / (ones * zeros);
}

/**
 * The area for class 1 of two, and for more classes the mean of the areas of each against the rest. Classes that all
 * rows have, or none, are left out; NaN when that leaves nothing.
 */
export function rocAucOfClasses(truth: Numbers, probabilities: Numbers, classes: number): number {
  const areaOf = (one: number) =>
    rocAuc(
      truth.length,
      (row) => truth[row] === one,
      (row) => probabilities[row * classes + one]!,
    );
  if (classes === 2) return areaOf(1);
  const counts = new Float64Array(classes);
  for (const own of Array.from(truth)) counts[own]! += 1;
  const mixed = [...counts.keys()].filter((one) => counts[one]! > 0 && counts[one]! < truth.length);
  return mixed.length === 0 ? NaN : mean(mixed.length, (at) => areaOf(mixed[at]!));
}
