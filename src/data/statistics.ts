import type { Statistics } from './dataset.js';

/**
 * Mean and population standard deviation of each column over `rows`, as the layers behind see them: with `fills` for
 * NaN. Two passes in double precision.
 */
export function measureColumns(
  columns: readonly Float64Array[],
  fills: readonly number[],
  rows: readonly number[],
): Statistics {
  const mean = new Float32Array(columns.length);
  const deviation = new Float32Array(columns.length);
  columns.forEach((values, column) => {
    const valueOf = (row: number): number => (Number.isNaN(values[row]!) ? fills[column]! : values[row]!);
    let sum = 0;
    for (const row of rows) sum += valueOf(row);
    const average = sum / rows.length;
    let squares = 0;
    for (const row of rows) squares += (valueOf(row) - average) ** 2;
    mean[column] = average;
    deviation[column] = Math.sqrt(squares / rows.length);
  });
  return { mean, deviation };
}
