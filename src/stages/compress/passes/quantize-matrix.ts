import { decibelsOf, roundTo, scaleFor } from './round-groups.js';

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
 * Rounds a matrix to symmetric integers: scale = max |w| / largest, over each column or the whole. Runs in the order in
 * which the weights lie: a model has millions, and most processes round them once, before the loops are compiled well.
 * @returns undefined when a weight is not finite.
 */
export function quantizeMatrix(
  weights: Float32Array,
  { rows, columns, transposed, perChannel, largest }: MatrixLayout,
): QuantizedMatrix | undefined {
  const [lines, length] = transposed ? [columns, rows] : [rows, columns];
  /** Places of the line's first weight among the scales and among the integers, and steps from one weight to the next. */
  const scaleStep = perChannel && !transposed ? 1 : 0;
  const valueStep = transposed ? columns : 1;
  const scales = new Float32Array(perChannel ? columns : 1);
  let signal = 0;
  for (let line = 0; line < lines; line++) {
    let group = perChannel && transposed ? line : 0;
    for (let at = line * length; at < (line + 1) * length; at++, group += scaleStep) {
      const weight = weights[at]!;
      const magnitude = weight < 0 ? -weight : weight;
      if (magnitude > scales[group]!) scales[group] = magnitude;
      signal += weight * weight;
    }
  }
  if (!Number.isFinite(signal)) return undefined;
  for (let index = 0; index < scales.length; index++) scales[index] = scaleFor(scales[index]!, largest);
  const values = new Int8Array(rows * columns);
  let noise = 0;
  for (let line = 0; line < lines; line++) {
    let group = perChannel && transposed ? line : 0;
    let place = transposed ? line : line * length;
    for (let at = line * length; at < (line + 1) * length; at++, group += scaleStep, place += valueStep) {
      const weight = weights[at]!;
      const scale = scales[group]!;
      const integer = roundTo(weight / scale, largest);
      const error = weight - integer * scale;
      values[place] = integer;
      noise += error * error;
    }
  }
  return { values, scales, perChannel, signalToNoise: decibelsOf(signal, noise) };
}
