import { factorUpper } from '../quantize/cholesky.js';
import type { Spread } from './moments.js';

/** How the channels that are gone are made up of those that are left: x_gone ≈ x_kept · shares + offset. */
export interface Stand {
  readonly kept: readonly number[];
  readonly gone: readonly number[];
  /** [kept, gone]. */
  readonly shares: Float64Array;
  /** [gone]. */
  readonly offset: Float64Array;
}

/** Added to the diagonal, as a share of its mean: channels that say the same make no equation by themselves. */
const damping = 1e-4;
const tries = 4;

/**
 * Least squares: the shares with the smallest error over the rows that were seen.
 * @returns undefined where the rows tell nothing.
 */
export function standIn(
  { covariance, mean }: Spread,
  kept: readonly number[],
  gone: readonly number[],
): Stand | undefined {
  const channels = mean.length;
  const size = kept.length;
  const trace = kept.reduce((sum, at) => sum + covariance[at * channels + at]!, 0) / size;
  if (!(trace > 0) || trace === Infinity) return undefined;
  const matrix = new Float64Array(size * size);
  kept.forEach((from, row) => {
    kept.forEach((to, column) => {
      matrix[row * size + column] = covariance[from * channels + to]!;
    });
  });
  const factor = factorDamped(matrix, size, trace);
  if (!factor) return undefined;
  const shares = new Float64Array(size * gone.length);
  const offset = new Float64Array(gone.length);
  const x = new Float64Array(size);
  gone.forEach((channel, at) => {
    kept.forEach((from, row) => (x[row] = covariance[from * channels + channel]!));
    solve(factor, size, x);
    offset[at] = mean[channel]!;
    kept.forEach((from, row) => {
      shares[row * gone.length + at] = x[row]!;
      offset[at]! -= x[row]! * mean[from]!;
    });
  });
  return { kept, gone, shares, offset };
}

function factorDamped(matrix: Float64Array, size: number, trace: number): Float64Array | undefined {
  for (let attempt = 0, added = 0; attempt < tries; attempt++) {
    const total = trace * damping * 100 ** attempt;
    for (let row = 0; row < size; row++) matrix[row * size + row]! += total - added;
    added = total;
    const factor = factorUpper(matrix, size);
    if (factor) return factor;
  }
  return undefined;
}

/** x of R · Rᵀ · x = b, R upper triangular; in the place of b. */
function solve(factor: Float64Array, size: number, x: Float64Array): void {
  for (let row = size - 1; row >= 0; row--) {
    let sum = x[row]!;
    for (let at = row + 1; at < size; at++) sum -= factor[row * size + at]! * x[at]!;
    x[row] = sum / factor[row * size + row]!;
  }
  for (let row = 0; row < size; row++) {
    x[row] = x[row]! / factor[row * size + row]!;
    const value = x[row]!;
    for (let at = row + 1; at < size; at++) x[at]! -= factor[row * size + at]! * value;
  }
}
