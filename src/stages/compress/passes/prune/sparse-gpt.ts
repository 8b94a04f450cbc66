import { factorUpper } from '../quantize/cholesky.js';
import { indexOf, type ThinLayout } from './magnitude.js';

/** Rows whose weights are chosen among each other; as in the paper. */
const block = 128;

/**
 * Sets weights to 0 row by row, and each time moves those of the rows to come so that they make up for it (SparseGPT: Frantar
 * and Alistarh, arXiv:2301.00774). With H = XᵀX = R · Rᵀ, R upper triangular, the squared error of the outputs is
 * |Rᵀ (w − q)|²: a weight that goes costs (w_k · R_kk)², and w_k moves by Σ_{j<k} R_jk / R_kk · (w_j − q_j).
 * @param gram XᵀX [rows, rows] of the layer's inputs.
 * @returns undefined when the inputs tell nothing.
 */
export function pruneByInputs(
  weights: Float32Array,
  gram: Float64Array,
  layout: ThinLayout,
  damping: number,
): Float32Array | undefined {
  const { rows, columns, groups, share } = layout;
  const factor = factorDamped(gram, rows, damping);
  if (!factor) return undefined;
  const result = new Float32Array(weights.length);
  // Of the rows so far: what each weight lost.
  const lost = new Float64Array(rows * columns);
  const width = groups?.[1] ?? block;
  for (let first = 0; first < rows; first += width) {
    const last = Math.min(first + width, rows);
    const gone = choose(
      weights,
      lost,
      factor,
      layout,
      first,
      last,
      groups ? 1 - groups[0] / groups[1] : share,
    );
    for (let row = first; row < last; row++) {
      const moved = movedBy(lost, factor, row, rows, columns);
      for (let column = 0; column < columns; column++) {
        const weight = weights[indexOf(layout, row, column)]!;
        const value = gone.has(row * columns + column) ? 0 : weight + moved[column]!;
        result[indexOf(layout, row, column)] = value;
        lost[row * columns + column] = weight - value;
      }
    }
  }
  return result;
}

/** Σ_{j<row} R_j,row / R_row,row · lost_j, for every column, over the rows before `end`. */
function movedBy(
  lost: Float64Array,
  factor: Float64Array,
  row: number,
  rows: number,
  columns: number,
  end = row,
): Float64Array {
  const moved = new Float64Array(columns);
  const pivot = factor[row * rows + row]!;
  for (let before = 0; before < end; before++) {
    const part = factor[before * rows + row]! / pivot;
    if (part === 0) continue;
    const start = before * columns;
    for (let column = 0; column < columns; column++) moved[column]! += part * lost[start + column]!;
  }
  return moved;
}

/** The weights of some rows that cost least, as row · columns + column: so many of all, or of each column with a pattern. */
function choose(
  weights: Float32Array,
  lost: Float64Array,
  factor: Float64Array,
  layout: ThinLayout,
  first: number,
  last: number,
  share: number,
): Set<number> {
  const { rows, columns, groups } = layout;
  const costs = new Float64Array((last - first) * columns);
  for (let row = first; row < last; row++) {
    const moved = movedBy(lost, factor, row, rows, columns, first);
    const pivot = factor[row * rows + row]!;
    for (let column = 0; column < columns; column++) {
      const weight = weights[indexOf(layout, row, column)]!;
      // What is 0 already stays 0 for nothing.
      const value = weight === 0 ? 0 : weight + moved[column]!;
      costs[(row - first) * columns + column] = (value * pivot) ** 2;
    }
  }
  const places = Array.from(costs, (_, at) => at);
  const byCost = (a: number, b: number): number => costs[a]! - costs[b]! || a - b;
  const offset = first * columns;
  if (!groups) {
    const count = Math.round(share * costs.length);
    return new Set(
      places
        .sort(byCost)
        .slice(0, count)
        .map((at) => at + offset),
    );
  }
  const gone = new Set<number>();
  for (let column = 0; column < columns; column++) {
    const own = Array.from({ length: last - first }, (_, row) => row * columns + column).sort(byCost);
    for (const at of own.slice(0, groups[1] - groups[0])) gone.add(at + offset);
  }
  return gone;
}

/** Inputs that depend on each other need more damping than was asked for. */
const tries = 4;

function factorDamped(gram: Float64Array, size: number, damping: number): Float64Array | undefined {
  let trace = 0;
  for (let at = 0; at < size; at++) trace += gram[at * size + at]!;
  if (!(trace > 0) || trace === Infinity) return undefined;
  const hessian = gram.slice();
  for (let attempt = 0, added = 0; attempt < tries; attempt++) {
    const total = (trace / size) * damping * 10 ** attempt;
    for (let row = 0; row < size; row++) hessian[row * size + row]! += total - added;
    added = total;
    const factor = factorUpper(hessian, size);
    if (factor) return factor;
  }
  return undefined;
}
