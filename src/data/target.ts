import { MaasError } from '../errors.js';
import type { NdArray } from '../ir/tensor.js';
import type { Column } from './columns.js';
import type { DataConfig } from './config.js';

/** Whole numbers with more different values than this are amounts, not classes, unless `data.task` says otherwise. */
export const maxNumericClasses = 10;

export type Target =
  | {
      readonly task: 'classification';
      readonly name: string;
      /** Sorted; numbers by value. */
      readonly labels: readonly string[];
      /** Index into `labels` of each row. */
      readonly classes: Int32Array;
    }
  | {
      readonly task: 'regression';
      readonly name: string;
      readonly labels?: undefined;
      readonly values: Float64Array;
    };

/**
 * Decides what is predicted, classes or an amount.
 * @throws MaasError MAAS_DATA_VALUE for text where amounts are wanted, or a single class.
 */
export function readTarget(column: Column, { task: wanted }: Pick<DataConfig, 'task'>, path: string): Target {
  const { name } = column;
  const given = wanted === 'reconstruction' ? 'regression' : wanted;
  const task = given ?? (looksLikeClasses(column) ? 'classification' : 'regression');
  if (task === 'regression') {
    if (column.type === 'number') return { task, name, values: column.values };
    throw textAmount(name, path);
  }
  const texts = Array.from<number | string, string>(column.values, String);
  const labels = sortLabels(new Set(texts), column.type);
  if (labels.length < 2) throw oneClass(name, labels[0]!, path);
  const indices = new Map(labels.map((label, index) => [label, index]));
  return { task, name, labels, classes: Int32Array.from(texts, (text) => indices.get(text)!) };
}

export function sortLabels(labels: Iterable<string>, type: Column['type']): string[] {
  return [...labels].sort(type === 'number' ? (a, b) => Number(a) - Number(b) : undefined);
}

export function textAmount(name: string, path: string): MaasError {
  return new MaasError(
    'MAAS_DATA_VALUE',
    `the target column "${name}" holds text, and regression predicts numbers`,
    {
      place: { file: path },
      hint: 'Write classification for it, or choose a target column of numbers.',
    },
  );
}

export function oneClass(name: string, label: string, path: string): MaasError {
  return new MaasError(
    'MAAS_DATA_VALUE',
    `every row has ${name} = "${label}", there is nothing to tell apart`,
    {
      place: { file: path },
      hint: 'A classifier needs rows of at least two classes.',
    },
  );
}

function looksLikeClasses(column: Column): boolean {
  if (column.type === 'category') return true;
  const distinct = new Set(column.values);
  return distinct.size <= maxNumericClasses && [...distinct].every(Number.isInteger);
}

/** The target of some rows as a tensor: int64 [rows] class indices, or float32 [rows, 1]. */
export function encodeTarget(target: Target, rows: readonly number[]): NdArray {
  if (target.task === 'classification') {
    const data = BigInt64Array.from(rows, (row) => BigInt(target.classes[row]!));
    return { dtype: 'int64', dims: [rows.length], data };
  }
  return {
    dtype: 'float32',
    dims: [rows.length, 1],
    data: Float32Array.from(rows, (row) => target.values[row]!),
  };
}
