import type { Column, Statistics } from './dataset.js';
import { partsOf } from './rows.js';

/** Mean and spread of numbers that come one by one, in double precision (Welford; Chan et al. for several at once). */
export class Moments {
  count = 0;
  mean = 0;
  /** Sum of squared distances from the mean. */
  #squares = 0;

  add(value: number): void {
    this.count += 1;
    const distance = value - this.mean;
    this.mean += distance / this.count;
    this.#squares += distance * (value - this.mean);
  }

  /** The same number many times. */
  addMany(value: number, count: number): void {
    if (count === 0) return;
    const total = this.count + count;
    const distance = value - this.mean;
    this.#squares += (distance * distance * this.count * count) / total;
    this.mean += (distance * count) / total;
    this.count = total;
  }

  /** Of the population. */
  get deviation(): number {
    return Math.sqrt(this.#squares / this.count);
  }
}

/** Mean and population standard deviation of a column's elements; of what varies less than float32 can tell, 1. */
export function measureAmounts(column: Column): { readonly mean: number; readonly deviation: number } {
  const moments = new Moments();
  for (const { data } of partsOf(column)) for (const value of data) moments.add(Number(value));
  return { mean: moments.mean, deviation: scaleOf(moments.mean, moments.deviation) };
}

/** A column that varies less than float32 can tell, as a share of its mean, is constant. */
const leastVariation = 1e-6;

/** What values are divided by, so that those of a constant column stay what they are. */
export const scaleOf = (mean: number, deviation: number): number =>
  deviation > Math.abs(mean) * leastVariation ? deviation : 1;

/**
 * Mean and population standard deviation of each column over `rows`, as the layers behind see them: with `fills` for
 * NaN.
 */
export function measureColumns(
  columns: readonly Float64Array[],
  fills: readonly number[],
  rows: readonly number[],
): Statistics {
  return toStatistics(
    columns.map((values, column) => {
      const moments = new Moments();
      let missing = 0;
      for (const row of rows) {
        if (Number.isNaN(values[row]!)) missing += 1;
        else moments.add(values[row]!);
      }
      moments.addMany(fills[column]!, missing);
      return moments;
    }),
  );
}

/** One mean and deviation of all elements of an array, over `rows`. @param values [N, width]. */
export function measureArray(values: Float32Array, width: number, rows: readonly number[]): Statistics {
  const moments = new Moments();
  for (const row of rows) for (let at = row * width; at < (row + 1) * width; at++) moments.add(values[at]!);
  return toStatistics([moments]);
}

export function toStatistics(columns: readonly Moments[]): Statistics {
  return {
    mean: Float32Array.from(columns, ({ mean }) => mean),
    deviation: Float32Array.from(columns, ({ deviation }) => deviation),
  };
}
