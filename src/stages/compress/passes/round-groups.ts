/** The largest integer of 8 bits whose negative is one too. */
export const largestByte = 127;

export interface RoundedGroups {
  /** In the order of the values. */
  readonly integers: Int8Array;
  /** One for each group. integer · scale is the value. */
  readonly scales: Float32Array;
  /** Of the values before and after, in dB. */
  readonly signalToNoise: number;
}

/**
 * Rounds numbers to symmetric int8 with a scale for each `group` of neighbours: scale = max |value| / 127.
 * @returns undefined when a value is not finite.
 */
export function roundGroups(values: Float32Array, group: number): RoundedGroups | undefined {
  const scales = new Float32Array(values.length / group);
  const integers = new Int8Array(values.length);
  let [signal, noise] = [0, 0];
  for (let index = 0; index < scales.length; index++) {
    const [from, to] = [index * group, (index + 1) * group];
    let most = 0;
    for (let at = from; at < to; at++) {
      const magnitude = Math.abs(values[at]!);
      if (magnitude > most) most = magnitude;
    }
    scales[index] = scaleFor(most, largestByte);
    const scale = scales[index]!;
    for (let at = from; at < to; at++) {
      const value = values[at]!;
      const integer = roundTo(value / scale, largestByte);
      const error = value - integer * scale;
      integers[at] = integer;
      signal += value * value;
      noise += error * error;
    }
  }
  return Number.isFinite(signal) ? { integers, scales, signalToNoise: decibelsOf(signal, noise) } : undefined;
}

/** Zeros, and numbers too small for a float32 scale, need some scale to be divided by. */
export function scaleFor(most: number, largest: number): number {
  return Math.fround(most / largest) || 1;
}

/** The nearest integer from −largest to largest. */
export function roundTo(value: number, largest: number): number {
  const integer = Math.round(value);
  return integer > largest ? largest : integer < -largest ? -largest : integer;
}

/** Infinity where nothing was lost. */
export function decibelsOf(signal: number, noise: number): number {
  return noise === 0 ? Infinity : 10 * Math.log10(signal / noise);
}
