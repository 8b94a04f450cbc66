import { mean } from './mean.js';

type Indices = ArrayLike<number>;

/** How often each label occurs among the truth and the predictions, and how often in both at once. */
export interface Counts {
  readonly hits: Float64Array;
  readonly truth: Float64Array;
  readonly predicted: Float64Array;
}

/** @param truth Index of each row's label. @param predicted The same, as a model has it. */
export function countLabels(truth: Indices, predicted: Indices, labels: number): Counts {
  const counts = {
    hits: new Float64Array(labels),
    truth: new Float64Array(labels),
    predicted: new Float64Array(labels),
  };
  for (let row = 0; row < truth.length; row++) {
    const [is, said] = [truth[row]!, predicted[row]!];
    counts.truth[is]! += 1;
    counts.predicted[said]! += 1;
    if (is === said) counts.hits[is]! += 1;
  }
  return counts;
}

/** Rows by their label (first axis) and the label that was predicted (second). */
export function confusionMatrix(truth: Indices, predicted: Indices, labels: number): number[][] {
  const matrix = Array.from({ length: labels }, () => new Array<number>(labels).fill(0));
  for (let row = 0; row < truth.length; row++) matrix[truth[row]!]![predicted[row]!]! += 1;
  return matrix;
}

/** Precision, recall and F1 of one label; 0 where there is nothing to divide by. */
export interface LabelScore {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  /** Rows of the label. */
  readonly rows: number;
}

/** Of each label; undefined for labels that occur neither among the truth nor among the predictions. */
export function scoreLabels({ hits, truth, predicted }: Counts): (LabelScore | undefined)[] {
  return Array.from(hits, (hit, label) => {
    const [rows, said] = [truth[label]!, predicted[label]!];
    if (rows + said === 0) return undefined;
    return { precision: share(hit, said), recall: share(hit, rows), f1: share(2 * hit, rows + said), rows };
  });
}

/**
 * Means over labels, as scikit-learn has them: plain (macro) over all labels that occur, weighted by the labels' rows,
 * and as `balancedAccuracy` the recall of those labels alone that occur among the truth.
 */
export function averageScores(scores: readonly (LabelScore | undefined)[]): Record<string, number> {
  const there = scores.filter((score) => score !== undefined);
  const rows = there.reduce((sum, score) => sum + score.rows, 0);
  const plain = (of: keyof LabelScore) => mean(there.length, (at) => there[at]![of]);
  const weighted = (of: keyof LabelScore) =>
    share(
      there.reduce((sum, score) => sum + score[of] * score.rows, 0),
      rows,
    );
  const known = there.filter((score) => score.rows > 0);
  return {
    balancedAccuracy: mean(known.length, (at) => known[at]!.recall),
    precision: plain('precision'),
    recall: plain('recall'),
    f1: plain('f1'),
    weightedPrecision: weighted('precision'),
    weightedRecall: weighted('recall'),
    weightedF1: weighted('f1'),
  };
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
