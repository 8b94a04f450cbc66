import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';

/** Sizes that a weight's scale depends on: inputs and outputs of one unit. */
export interface Fans {
  readonly in: number;
  readonly out: number;
}

type Draw = (random: RandomGenerator, fans: Fans) => number;

/** First weights, by the names and with the formulas of Keras. Each gives one element. */
export const initializers = {
  glorotUniform: (random, fans) => uniform(random, Math.sqrt(6 / (fans.in + fans.out))),
  glorotNormal: (random, fans) => truncatedNormal(random, Math.sqrt(2 / (fans.in + fans.out))),
  heUniform: (random, fans) => uniform(random, Math.sqrt(6 / fans.in)),
  heNormal: (random, fans) => truncatedNormal(random, Math.sqrt(2 / fans.in)),
  lecunUniform: (random, fans) => uniform(random, Math.sqrt(3 / fans.in)),
  lecunNormal: (random, fans) => truncatedNormal(random, Math.sqrt(1 / fans.in)),
  randomUniform: (random) => uniform(random, 0.05),
  randomNormal: (random) => 0.05 * normal(random),
  zeros: () => 0,
  ones: () => 1,
} as const satisfies Record<string, Draw>;

export type InitializerName = keyof typeof initializers;
export const initializerNames = Object.keys(initializers) as [InitializerName, ...InitializerName[]];

/** `count` elements, row-major. */
export function drawWeights(
  name: InitializerName,
  count: number,
  fans: Fans,
  random: RandomGenerator,
): Float32Array {
  const draw: Draw = initializers[name];
  return Float32Array.from({ length: count }, () => draw(random, fans));
}

/** Between −limit and limit. */
function uniform(random: RandomGenerator, limit: number): number {
  return (2 * uniformFloat64(random) - 1) * limit;
}

/** Standard deviation of a standard normal variable that is cut off at ±2. */
const truncatedDeviation = 0.879_625_661_034_239_78;

/** Normal with this standard deviation after it is cut off at two of its own. */
function truncatedNormal(random: RandomGenerator, deviation: number): number {
  for (;;) {
    const value = normal(random);
    if (Math.abs(value) <= 2) return (value * deviation) / truncatedDeviation;
  }
}

/** Standard normal (Box and Muller); the second number of each pair is left. */
function normal(random: RandomGenerator): number {
  const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat64(random)));
  return radius * Math.cos(2 * Math.PI * uniformFloat64(random));
}
