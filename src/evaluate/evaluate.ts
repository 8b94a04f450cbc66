import type { Table } from '../data/dataset.js';
import { numbersOf } from '../data/rows.js';
import type { Signature } from '../data/signature.js';
import { MaasError } from '../errors.js';
import {
  accuracy,
  balancedAccuracy,
  f1,
  logLoss,
  mae,
  mse,
  r2,
  recall,
  rocAuc,
  signalToNoise,
} from './metrics.js';
import { predict, type Predictions } from './predict.js';

/**
 * Measures a model on a table, in bounded batches.
 * @returns Classification: `accuracy`, `logLoss`, `balancedAccuracy`, `f1`, `rocAuc` where the table has both of two
 * classes, and `recall.<label>` for each label in the table. Regression: `mse`, `mae`, `r2`.
 */
export async function evaluate(
  model: Uint8Array | string,
  table: Table,
  signature: Signature,
): Promise<Record<string, number>> {
  return score(await predict(model, table, signature), table, signature);
}

/** The figures of `evaluate`, from predictions that are there already. */
export function score(predictions: Predictions, table: Table, signature: Signature): Record<string, number> {
  const truth = numbersOf(table.target);
  if (signature.task === 'regression') {
    const { values } = predictions;
    return { mse: mse(truth, values), mae: mae(truth, values), r2: r2(truth, values) };
  }
  const labels = signature.target.labels ?? [];
  const names = truth.map((index) => {
    const label = labels[index];
    if (label === undefined) throw new MaasError('MAAS_MODEL_INVALID', `the signature has no label ${index}`);
    return label;
  });
  const { values } = predictions;
  const area =
    labels.length === 2
      ? rocAuc(
          truth,
          truth.map((_, row) => values[2 * row + 1]!),
        )
      : NaN;
  const recalls = Object.entries(recall(names, predictions.labels));
  return {
    accuracy: accuracy(names, predictions.labels),
    logLoss: logLoss(truth, values, labels.length),
    balancedAccuracy: balancedAccuracy(names, predictions.labels),
    f1: f1(names, predictions.labels),
    ...(!Number.isNaN(area) && { rocAuc: area }),
    ...Object.fromEntries(recalls.map(([label, share]) => [`recall.${label}`, share])),
  };
}

/**
 * How far a model's predictions are from those of the model it was made from: `signalToNoise` of the probabilities or
 * values, in dB, and for classification the share of rows with the same label as `agreement`.
 */
export function compare(reference: Predictions, other: Predictions): Record<string, number> {
  return {
    ...(reference.labels.length > 0 && { agreement: accuracy(reference.labels, other.labels) }),
    signalToNoise: signalToNoise(reference.values, other.values),
  };
}
