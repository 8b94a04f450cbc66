import type { Column, Table } from '../data/dataset.js';
import { figureOf, headsOf, onlyHead, onlyTarget } from '../data/heads.js';
import { numbersOf } from '../data/rows.js';
import type { Signature } from '../data/signature.js';
import { MaasError } from '../errors.js';
import { explainedVariance, mae, mape, medianAbsoluteError, mse, r2 } from './amounts.js';
import { averageScores, confusionMatrix, countLabels, scoreLabels } from './confusion.js';
import { agreement, signalToNoise } from './metrics.js';
import { concat, onlyPredictions, predict, type Predictions } from './predict.js';
import { calibrationError, logLoss, rocAucOfClasses, topAccuracy } from './probabilities.js';

/** Measures a model on a table, in bounded batches; see `score`. */
export async function evaluate(
  model: Uint8Array | string,
  table: Table,
  signature: Signature,
): Promise<Record<string, number>> {
  return score(await predict(model, table, signature), table, signature);
}

/**
 * The figures of a table's predictions, by the names of `figures`, of several targets as `accuracy of species`; those that are not defined for these rows are left
 * out. Of labels that occur among truth or predictions also `precision.<label>` and `f1.<label>`, and of those among the
 * truth `recall.<label>`.
 */
export function score(predictions: Predictions, table: Table, signature: Signature): Record<string, number> {
  if (signature.others) {
    const all = headsOf(signature).map((head) => {
      const [own, rows] = [onlyPredictions(predictions, head.name), onlyTarget(table, head.name)];
      return nameFigures(score(own, rows, onlyHead(signature, head)), head.name);
    });
    return Object.assign({}, ...all) as Record<string, number>;
  }
  const { values } = predictions;
  if (signature.task === 'regression')
    return scoreAmounts(values, numbersOf(table.target), signature.reconstructs);
  return withText(signature, scoreClasses({ ...indexLabels(predictions, table, signature), values }));
}

/** Figures of one of several targets: `accuracy` → `accuracy of species`. */
export function nameFigures(
  figures: Readonly<Record<string, number>>,
  target: string,
): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [figureOf(name, target), value]));
}

/**
 * The same figures from what a model in training predicts.
 * @param parts Class probabilities [rows, classes], or of class 1 of two [rows]; or amounts [rows]; batch by batch.
 */
export function scoreValues(
  parts: readonly Float32Array[],
  target: Column,
  signature: Pick<Signature, 'task' | 'target' | 'generates' | 'reconstructs'>,
): Record<string, number> {
  const {
    task,
    reconstructs,
    target: { labels = [] },
  } = signature;
  const values = concat(parts);
  const truth = numbersOf(target);
  if (task === 'regression') return scoreAmounts(values, truth, reconstructs);
  const single = values.length === truth.length;
  const probabilities = single
    ? Float32Array.from({ length: 2 * values.length }, (_, at) =>
        at % 2 === 1 ? values[at >> 1]! : 1 - values[at >> 1]!,
      )
    : values;
  const classes = truth.length === 0 ? 0 : probabilities.length / truth.length;
  const names = Array.from({ length: classes }, (_, at) => labels[at] ?? String(at));
  const predicted = truth.map((_, row) => {
    let best = 0;
    for (let at = 1; at < classes; at++) {
      if (probabilities[row * classes + at]! > probabilities[row * classes + best]!) best = at;
    }
    return best;
  });
  return withText(signature, scoreClasses({ labels: names, truth, predicted, values: probabilities }));
}

/** The figures by which models of text are judged, too. */
function withText(
  { generates }: Pick<Signature, 'generates'>,
  scores: Record<string, number>,
): Record<string, number> {
  const { logLoss: nats } = scores;
  if (!generates || nats === undefined) return scores;
  return { ...scores, perplexity: Math.exp(nats), bitsPerCharacter: nats / Math.LN2 };
}

/** @param reconstructs Whether the truth is 0 for all: nothing of it is to be explained then. */
function scoreAmounts(
  values: ArrayLike<number>,
  truth: ArrayLike<number>,
  reconstructs = false,
): Record<string, number> {
  const squares = mse(truth, values);
  const relative = mape(truth, values);
  return {
    mse: squares,
    rmse: Math.sqrt(squares),
    mae: mae(truth, values),
    medianAbsoluteError: medianAbsoluteError(truth, values),
    ...(!Number.isNaN(relative) && { mape: relative }),
    ...(!reconstructs && {
      r2: r2(truth, values),
      explainedVariance: explainedVariance(truth, values),
    }),
  };
}

interface Classified {
  readonly labels: readonly string[];
  /** Index of each row's label. */
  readonly truth: ArrayLike<number>;
  readonly predicted: ArrayLike<number>;
  /** Probabilities [rows, labels]. */
  readonly values: Float32Array;
}

function scoreClasses({ labels, truth, predicted, values }: Classified): Record<string, number> {
  const counts = countLabels(truth, predicted, labels.length);
  const scores = scoreLabels(counts);
  const area = rocAucOfClasses(truth, values, labels.length);
  const right = Array.from(truth, (label, row) => label === predicted[row]);
  const hits = counts.hits.reduce((sum, count) => sum + count, 0);
  const top = (k: number) =>
    labels.length > k && { [`top${k}Accuracy`]: topAccuracy(truth, values, labels.length, k) };
  return {
    accuracy: truth.length === 0 ? 0 : hits / truth.length,
    logLoss: logLoss(truth, values, labels.length),
    ...averageScores(scores),
    ...top(3),
    ...top(5),
    ...(!Number.isNaN(area) && { rocAuc: area }),
    calibrationError: calibrationError(right, values, labels.length),
    ...Object.fromEntries(
      scores.flatMap((score, index): [string, number][] => {
        if (!score) return [];
        const { precision, recall, f1, rows } = score;
        const label = labels[index]!;
        return [
          [`precision.${label}`, precision],
          ...(rows > 0 ? [[`recall.${label}`, recall] satisfies [string, number]] : []),
          [`f1.${label}`, f1],
        ];
      }),
    ),
  };
}

/** Which labels were taken for which. */
export interface Confusion {
  readonly labels: readonly string[];
  /** Rows by their label (first axis) and the label that was predicted (second). */
  readonly counts: readonly (readonly number[])[];
}

/** More labels than this make a matrix that nobody reads. */
const mostLabels = 100;

/** The confusion matrix of a classification of no more than 100 labels. */
export function confusionOf(
  predictions: Predictions,
  table: Table,
  signature: Signature,
): Confusion | undefined {
  const count = signature.target.labels?.length ?? 0;
  if (signature.task === 'regression' || count > mostLabels) return undefined;
  const { labels, truth, predicted } = indexLabels(predictions, table, signature);
  return { labels, counts: confusionMatrix(truth, predicted, labels.length) };
}

/** The matrix; of several targets those of each, by name. */
export function confusionsOf(
  predictions: Predictions,
  table: Table,
  signature: Signature,
): Confusion | Readonly<Record<string, Confusion>> | undefined {
  if (!signature.others) return confusionOf(predictions, table, signature);
  const found = headsOf(signature).flatMap((head) => {
    const [own, rows] = [onlyPredictions(predictions, head.name), onlyTarget(table, head.name)];
    const confusion = confusionOf(own, rows, onlyHead(signature, head));
    return confusion ? [[head.name, confusion] as const] : [];
  });
  return found.length > 0 ? Object.fromEntries(found) : undefined;
}

function indexLabels({ labels: found }: Predictions, { target }: Table, signature: Signature) {
  const labels = signature.target.labels ?? [];
  const indices = new Map(labels.map((label, index) => [label, index]));
  const truth = numbersOf(target);
  const unknown = truth.find((index) => labels[index] === undefined);
  if (unknown !== undefined) {
    throw new MaasError('MAAS_MODEL_INVALID', `the signature has no label ${unknown}`);
  }
  const predicted = Int32Array.from(found, (label) => {
    const index = indices.get(label);
    if (index === undefined) {
      throw new MaasError(
        'MAAS_MODEL_INVALID',
        `the model predicts "${label}", a label that the signature does not have`,
      );
    }
    return index;
  });
  return { labels, truth, predicted };
}

/**
 * How far a model's predictions are from those of the model it was made from: `signalToNoise` of the probabilities or
 * values, in dB, and for classification the share of rows with the same label as `agreement`.
 */
export function compare(reference: Predictions, other: Predictions): Record<string, number> {
  return {
    ...(reference.labels.length > 0 && { agreement: agreement(reference.labels, other.labels) }),
    signalToNoise: signalToNoise(reference.values, other.values),
  };
}
