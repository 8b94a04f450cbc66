import { mean } from './mean.js';

/** Figures that compare two models. */

/** Share of places where two lists of labels are equal. */
export function agreement(one: readonly string[], other: readonly string[]): number {
  return mean(one.length, (index) => (one[index] === other[index] ? 1 : 0));
}

/** Power of `reference` over the power of the difference, in dB; Infinity when the two are equal. */
export function signalToNoise(reference: ArrayLike<number>, other: ArrayLike<number>): number {
  let signal = 0;
  let noise = 0;
  for (let index = 0; index < reference.length; index++) {
    signal += reference[index]! ** 2;
    noise += (reference[index]! - other[index]!) ** 2;
  }
  return noise === 0 ? Infinity : 10 * Math.log10(signal / noise);
}
