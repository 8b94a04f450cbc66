import { fromHalf } from '../../../ir/half.js';
import type { NdArray } from '../../../ir/tensor.js';
import type { Outputs } from '../batcher.js';
import { findDifference } from '../golden.js';

export function isReal({ dtype }: NdArray): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'float16';
}

/** Small numbers must agree as well as large ones: an output of a thousand probabilities holds nothing but small ones. */
export function findChange(got: Outputs, expected: Outputs, tolerance: number): string | undefined {
  for (const [name, array] of Object.entries(expected)) {
    const [answer, alone] = [widen(got[name]), widen(array)!];
    const scale = isReal(alone)
      ? (alone.data as Float64Array).reduce((most, x) => Math.max(most, Math.abs(x)), 0)
      : 1;
    if (Number.isNaN(scale)) return `${name} holds what is no number`;
    const allowed = tolerance * Math.min(1, scale);
    const difference = findDifference(answer ? { [name]: answer } : {}, { [name]: alone }, allowed);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

/** Half floats as numbers, and not as their bits. */
function widen(array: NdArray | undefined): NdArray | undefined {
  if (array?.dtype !== 'float16') return array;
  return { ...array, dtype: 'float32', data: Float32Array.from(array.data as Uint16Array, fromHalf) };
}
