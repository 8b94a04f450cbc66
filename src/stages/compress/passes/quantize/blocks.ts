import { signalToNoise } from '../../../../evaluate/metrics.js';
import type { MatrixLayout } from '../quantize-matrix.js';

export interface BlockLayout extends Pick<MatrixLayout, 'rows' | 'columns' | 'transposed'> {
  readonly bits: 4 | 8;
  /** Weights of a column that share a scale. */
  readonly block: number;
}

/** Of each block [columns, blocks]: weight = scale · (integer − zero), integers from 0 to 2^bits − 1. */
export interface BlockGrid {
  readonly scales: Float32Array;
  /** Without them each is 2^(bits − 1). */
  readonly zeros?: Uint8Array;
}

/** A matrix as the operator MatMulNBits stores it: column by column, each cut into blocks along the rows. */
export interface BlockMatrix extends BlockGrid {
  /** [columns, blocks, block · bits / 8]; of two 4-bit integers in a byte the first is in the low bits. */
  readonly packed: Uint8Array;
  readonly blocks: number;
  /** Of the weights before and after, in dB. */
  readonly signalToNoise: number;
}

/** @returns the weights as [columns, rows]; undefined when one is not finite. */
export function readColumns(
  weights: Float32Array,
  { rows, columns, transposed }: BlockLayout,
): Float32Array | undefined {
  if (!weights.every(Number.isFinite)) return undefined;
  if (transposed) return weights;
  const turned = new Float32Array(weights.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      turned[column * rows + row] = weights[row * columns + column]!;
    }
  }
  return turned;
}

/** Each block's part of `weights` [columns, rows], by its number in the grid, and the index of its first weight. */
export function* blocksOf(
  weights: Float32Array,
  { rows, columns, block }: BlockLayout,
): Generator<[at: number, values: Float32Array, first: number]> {
  const blocks = Math.ceil(rows / block);
  for (let column = 0; column < columns; column++) {
    for (let part = 0; part < blocks; part++) {
      const first = column * rows + part * block;
      const last = Math.min(first + block, (column + 1) * rows);
      yield [column * blocks + part, weights.subarray(first, last), first];
    }
  }
}

/** Some scale for a block of zeros, or of numbers too small for a float32 scale. */
export function scaleOf(scale: number): number {
  return Math.fround(scale) || 1;
}

/**
 * There is one more level below zero than above: the scale's sign is chosen so that the weight of largest magnitude
 * lies on that one exactly.
 */
export function extremeScale(values: Float32Array, bits: number): number {
  let extreme = 0;
  for (const value of values) if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  return scaleOf(extreme / -(2 ** (bits - 1)));
}

/**
 * Rounds each weight to the nearest of 2^bits levels.
 * @returns undefined when a weight is not finite.
 */
export function quantizeBlocks(weights: Float32Array, layout: BlockLayout): BlockMatrix | undefined {
  const turned = readColumns(weights, layout);
  if (!turned) return undefined;
  const scales = new Float32Array(layout.columns * Math.ceil(layout.rows / layout.block));
  for (const [at, values] of blocksOf(turned, layout)) scales[at] = extremeScale(values, layout.bits);
  return roundToGrid(turned, { scales }, layout);
}

/** @param turned [columns, rows] */
export function roundToGrid(turned: Float32Array, grid: BlockGrid, layout: BlockLayout): BlockMatrix {
  const most = 2 ** layout.bits - 1;
  const half = 2 ** (layout.bits - 1);
  const integers = new Uint8Array(turned.length);
  for (const [at, values, first] of blocksOf(turned, layout)) {
    const [scale, zero] = [grid.scales[at]!, grid.zeros?.[at] ?? half];
    for (let index = 0; index < values.length; index++) {
      const integer = Math.round(values[index]! / scale) + zero;
      integers[first + index] = Math.max(0, Math.min(most, integer));
    }
  }
  return packBlocks(integers, turned, grid, layout);
}

/**
 * @param integers [columns, rows]
 * @param turned The weights that they stand for.
 */
export function packBlocks(
  integers: Uint8Array,
  turned: Float32Array,
  grid: BlockGrid,
  { rows, columns, bits, block }: BlockLayout,
): BlockMatrix {
  const half = 2 ** (bits - 1);
  const blocks = Math.ceil(rows / block);
  const packed = new Uint8Array((columns * blocks * block * bits) / 8);
  const restored = new Float32Array(turned.length);
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < blocks * block; row++) {
      const at = column * blocks + Math.floor(row / block);
      const zero = grid.zeros?.[at] ?? half;
      // Where a column ends before its last block does, zeros fill it.
      const integer = row < rows ? integers[column * rows + row]! : zero;
      if (row < rows) restored[column * rows + row] = (integer - zero) * grid.scales[at]!;
      const place = column * blocks * block + row;
      if (bits === 8) packed[place] = integer;
      else packed[place >> 1]! |= integer << (place % 2 === 0 ? 0 : 4);
    }
  }
  return { ...grid, packed, blocks, signalToNoise: signalToNoise(turned, restored) };
}
