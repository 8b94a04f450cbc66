import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';
import { sizeOf } from '../../../ir/tensor.js';

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

export type InitializerName = keyof typeof initializers | 'orthogonal';
export const initializerNames: readonly [InitializerName, ...InitializerName[]] = [
  'orthogonal',
  ...(Object.keys(initializers) as (keyof typeof initializers)[]),
];

/** Elements of an array of these sizes, row-major. */
export function drawWeights(
  name: InitializerName,
  dims: readonly number[],
  fans: Fans,
  random: RandomGenerator,
): Float32Array {
  if (name === 'orthogonal') return orthogonal(dims, random);
  const draw: Draw = initializers[name];
  return Float32Array.from({ length: sizeOf(dims) }, () => draw(random, fans));
}

/**
 * A matrix whose rows, or columns where there are fewer of them, are of length 1 and at right angles (Saxe et al.,
 * arXiv:1312.6120): normal draws, made so one after another (modified Gram and Schmidt). Rows of an array of more axes
 * are along its first one that is not 1, as PyTorch has it.
 */
function orthogonal(dims: readonly number[], random: RandomGenerator): Float32Array {
  const [rows = 1, ...others] = dims.slice(dims.findIndex((size) => size > 1));
  const columns = sizeOf(others);
  const [count, length] = [Math.min(rows, columns), Math.max(rows, columns)];
  const basis: Float64Array[] = [];
  while (basis.length < count) {
    const vector = Float64Array.from({ length }, () => normal(random));
    for (const other of basis) {
      const along = other.reduce((sum, value, at) => sum + value * vector[at]!, 0);
      other.forEach((value, at) => (vector[at]! -= along * value));
    }
    const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
    // A draw that lies among those before it is no direction of its own.
    if (norm > 1e-6) basis.push(vector.map((value) => value / norm));
  }
  return Float32Array.from({ length: rows * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    return rows <= columns ? basis[row]![column]! : basis[column]![row]!;
  });
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
