import { signalToNoise } from '../../../evaluate/metrics.js';

export interface QuantizedMatrix {
  /** [rows, columns], row-major. */
  readonly values: Int8Array;
  /** One for each column, or a single one. value · scale is the weight. */
  readonly scales: Float32Array;
  readonly perChannel: boolean;
  /** Of the weights before and after, in dB. */
  readonly signalToNoise: number;
}

export interface MatrixLayout {
  readonly rows: number;
  readonly columns: number;
  /** True when the given weights are [columns, rows]. */
  readonly transposed: boolean;
  readonly perChannel: boolean;
  /** Largest integer to use; the smallest is its negative. */
  readonly largest: number;
}

/**
 * Rounds a matrix to symmetric integers: scale = max |w| / largest, over each column or the whole.
 * @returns undefined when a weight is not finite.
 */
export function quantizeMatrix(
  weights: Float32Array,
  { rows, columns, transposed, perChannel, largest }: MatrixLayout,
): QuantizedMatrix | undefined {
  const at = (row: number, column: number): number =>
    weights[transposed ? column * rows + row : row * columns + column]!;
  const scales = new Float32Array(perChannel ? columns : 1);
  const group = (column: number): number => (perChannel ? column : 0);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const weight = at(row, column);
      if (!Number.isFinite(weight)) return undefined;
      scales[group(column)] = Math.max(scales[group(column)]!, Math.abs(weight));
    }
  }
  // A column of zeros, or of numbers too small for a float32 scale, needs some scale to be divided by.
  for (let index = 0; index < scales.length; index++) {
    scales[index] = scales[index]! / largest;
    if (scales[index] === 0) scales[index] = 1;
  }
  const values = new Int8Array(rows * columns);
  const original = new Float32Array(rows * columns);
  const restored = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const index = row * columns + column;
      const scale = scales[group(column)]!;
      original[index] = at(row, column);
      values[index] = Math.max(-largest, Math.min(largest, Math.round(original[index] / scale)));
      restored[index] = values[index] * scale;
    }
  }
  return { values, scales, perChannel, signalToNoise: signalToNoise(original, restored) };
}
