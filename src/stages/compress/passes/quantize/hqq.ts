import { blocksOf, packBlocks, readColumns, scaleOf, type BlockLayout, type BlockMatrix } from './blocks.js';

/** By the paper's notation: the norm of the error is |e|^p, and β grows by κ in each of the rounds. */
const norm = 0.7;
const [firstBeta, kappa] = [10, 1.01];
const rounds = 20;

/**
 * Half-quadratic quantization (Badri and Shaji, 2023): zero points and scales that lose least where errors count by
 * |e|^0.7, so that a few large weights do not coarsen the grid of all others. It looks at the weights alone. In each
 * round the errors are split into outliers, which a soft threshold keeps apart, and a rest, for which zero and scale are
 * solved. Zero points are whole numbers here, as the kernel takes them.
 * @returns undefined when a weight is not finite.
 */
export function quantizeHalfQuadratic(weights: Float32Array, layout: BlockLayout): BlockMatrix | undefined {
  const turned = readColumns(weights, layout);
  if (!turned) return undefined;
  const count = layout.columns * Math.ceil(layout.rows / layout.block);
  const grid = { scales: new Float32Array(count), zeros: new Uint8Array(count) };
  const integers = new Uint8Array(turned.length);
  for (const [at, values, first] of blocksOf(turned, layout)) {
    const { scale, zero, rounded } = solveBlock(values, layout.bits);
    grid.scales[at] = scale;
    grid.zeros[at] = zero;
    integers.set(rounded, first);
  }
  return packBlocks(integers, turned, grid, layout);
}

interface Solved {
  readonly scale: number;
  readonly zero: number;
  readonly rounded: Uint8Array;
  readonly error: number;
}

function solveBlock(values: Float32Array, bits: number): Solved {
  const most = 2 ** bits - 1;
  let [low, high] = [0, 0];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const round = (scale: number, exact: number): Solved => {
    const zero = Math.max(0, Math.min(most, Math.round(exact)));
    const rounded = new Uint8Array(values.length);
    let error = 0;
    for (let at = 0; at < values.length; at++) {
      const integer = Math.max(0, Math.min(most, Math.round(values[at]! / scale) + zero));
      rounded[at] = integer;
      error += Math.abs(values[at]! - scale * (integer - zero)) ** norm;
    }
    return { scale, zero, rounded, error };
  };
  const start = scaleOf((high - low) / most);
  let current = round(start, -low / start);
  let best = current;
  let beta = firstBeta;
  for (let step = 0; step < rounds; step++, beta *= kappa) {
    const { scale, zero, rounded } = current;
    let [shift, product, square] = [0, 0, 0];
    for (let at = 0; at < values.length; at++) {
      const error = values[at]! - scale * (rounded[at]! - zero);
      const size = Math.abs(error);
      const kept = size === 0 ? 0 : Math.max(0, size - size ** (norm - 1) / beta) * Math.sign(error);
      const rest = values[at]! - kept;
      shift += rounded[at]! - rest / scale;
      product += rest * (rounded[at]! - zero);
      square += (rounded[at]! - zero) ** 2;
    }
    const fitted = square > 0 ? scaleOf(product / square) : scale;
    current = round(fitted > 0 ? fitted : scale, shift / values.length);
    if (current.error < best.error) best = current;
  }
  return best;
}
