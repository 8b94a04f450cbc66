import {
  blocksOf,
  extremeScale,
  packBlocks,
  readColumns,
  type BlockLayout,
  type BlockMatrix,
} from './blocks.js';
import { factorUpper } from './cholesky.js';

export interface GptqOptions {
  /** Added to the diagonal of the Hessian, as a share of its mean: keeps it positive definite. */
  readonly damping: number;
  /** Round the rows first whose inputs are largest, while all others can still make up for it. */
  readonly actOrder: boolean;
}

/**
 * Rounds one row of weights after another, each time moving those that are not yet rounded so that they make up for the
 * error in the layer's outputs (GPTQ: Frantar et al., arXiv:2210.17323). With H = XᵀX = R · Rᵀ, R upper triangular, the
 * squared error of the outputs is |Rᵀ (w − q)|², whose term for row k is least when q_k is nearest to
 *
 *     w_k + Σ_{j<k} R_jk / R_kk · (w_j − q_j)
 *
 * which is the paper's update without an inverse. The grids of the blocks are fixed beforehand: each is the one that
 * loses least, a weight's error counting as much as its input is large.
 * @param gram XᵀX [rows, rows] of the layer's inputs.
 * @returns undefined when a weight is not finite, or the inputs tell nothing.
 */
export function quantizeByInputs(
  weights: Float32Array,
  gram: Float64Array,
  layout: BlockLayout,
  { damping, actOrder }: GptqOptions,
): BlockMatrix | undefined {
  const { rows, columns, bits, block } = layout;
  const turned = readColumns(weights, layout);
  if (!turned) return undefined;
  const power = Float64Array.from({ length: rows }, (_, row) => gram[row * rows + row]!);
  const mean = power.reduce((sum, value) => sum + value, 0) / rows;
  if (!(mean > 0) || mean === Infinity) return undefined;
  const order = Int32Array.from({ length: rows }, (_, row) => row);
  if (actOrder) order.sort((a, b) => power[b]! - power[a]! || a - b);
  const factor = factorDamped(gram, order, damping * mean);
  if (!factor) return undefined;

  const scales = new Float32Array(columns * Math.ceil(rows / block));
  for (const [at, values, first] of blocksOf(turned, layout)) {
    scales[at] = searchScale(values, power, first % rows, bits);
  }
  const half = 2 ** (bits - 1);
  const blocks = Math.ceil(rows / block);
  const integers = new Uint8Array(turned.length);
  // Of the rows so far, in their order: what each weight lost.
  const lost = new Float32Array(rows * columns);
  const moved = new Float64Array(columns);
  for (let step = 0; step < rows; step++) {
    const row = order[step]!;
    addLosses(moved, lost, factor, step, rows, columns);
    const part = Math.floor(row / block);
    for (let column = 0; column < columns; column++) {
      const weight = turned[column * rows + row]!;
      const scale = scales[column * blocks + part]!;
      const integer = Math.max(-half, Math.min(half - 1, Math.round((weight + moved[column]!) / scale)));
      integers[column * rows + row] = integer + half;
      lost[step * columns + column] = weight - integer * scale;
    }
  }
  return packBlocks(integers, turned, { scales }, layout);
}

/** Σ_{j<step} R_j,step / R_step,step · lost_j, for every column. */
function addLosses(
  moved: Float64Array,
  lost: Float32Array,
  factor: Float64Array,
  step: number,
  rows: number,
  columns: number,
): void {
  moved.fill(0);
  const pivot = factor[step * rows + step]!;
  const shareOf = (row: number): number => factor[row * rows + step]! / pivot;
  let row = 0;
  // Four rows at a time: each sum is read and written a quarter as often.
  for (; row + 3 < step; row += 4) {
    const [a, b, c, d] = [shareOf(row), shareOf(row + 1), shareOf(row + 2), shareOf(row + 3)];
    const start = row * columns;
    for (let column = 0; column < columns; column++) {
      const at = start + column;
      moved[column]! +=
        a * lost[at]! + b * lost[at + columns]! + c * lost[at + 2 * columns]! + d * lost[at + 3 * columns]!;
    }
  }
  for (; row < step; row++) {
    const share = shareOf(row);
    for (let column = 0; column < columns; column++) moved[column]! += share * lost[row * columns + column]!;
  }
}

/** Inputs that depend on each other need more damping than was asked for. */
const tries = 4;

/** R of the Hessian with its rows and columns in `order`. */
function factorDamped(gram: Float64Array, order: Int32Array, damping: number): Float64Array | undefined {
  const size = order.length;
  const hessian = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    const from = order[row]! * size;
    for (let column = 0; column < size; column++) hessian[row * size + column] = gram[from + order[column]!]!;
  }
  for (let attempt = 0, added = 0; attempt < tries; attempt++) {
    const total = damping * 10 ** attempt;
    for (let row = 0; row < size; row++) hessian[row * size + row]! += total - added;
    added = total;
    const factor = factorUpper(hessian, size);
    if (factor) return factor;
  }
  return undefined;
}

/** Scales to try, as shares of the one that cuts nothing off. */
const shares = [1, 0.975, 0.95, 0.925, 0.9, 0.875, 0.85, 0.8, 0.75, 0.7];

/** @param power Of the input of each row: what an error there costs. */
function searchScale(values: Float32Array, power: Float64Array, firstRow: number, bits: number): number {
  const half = 2 ** (bits - 1);
  const widest = extremeScale(values, bits);
  let [best, least] = [widest, Infinity];
  for (const share of shares) {
    for (const sign of share === 1 ? [1] : [1, -1]) {
      const scale = Math.fround(widest * share * sign);
      let error = 0;
      for (let at = 0; at < values.length && error < least; at++) {
        const integer = Math.max(-half, Math.min(half - 1, Math.round(values[at]! / scale)));
        error += power[firstRow + at]! * (values[at]! - integer * scale) ** 2;
      }
      if (error < least) [best, least] = [scale, error];
    }
  }
  return best;
}
