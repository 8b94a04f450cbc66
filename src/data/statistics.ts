import type { Statistics } from './dataset.js';

/** Mean and population standard deviation of each column over `rows`; two passes in double precision. */
export function measureColumns(columns: readonly Float64Array[], rows: readonly number[]): Statistics {
  const mean = new Float32Array(columns.length);
  const deviation = new Float32Array(columns.length);
  columns.forEach((values, column) => {
    let sum = 0;
    for (const row of rows) sum += values[row]!;
    const average = sum / rows.length;
    let squares = 0;
    for (const row of rows) squares += (values[row]! - average) ** 2;
    mean[column] = average;
    deviation[column] = Math.sqrt(squares / rows.length);
  });
  return { mean, deviation };
}
