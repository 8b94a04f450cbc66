import { signalToNoise } from '../../../../evaluate/metrics.js';
import type { MatrixLayout } from '../quantize-matrix.js';

export interface BlockLayout extends Pick<MatrixLayout, 'rows' | 'columns' | 'transposed'> {
  readonly bits: 4 | 8;
  /** Weights of a column that share a scale. */
  readonly block: number;
}

/** A matrix as the operator MatMulNBits stores it: column by column, each cut into blocks along the rows. */
export interface BlockMatrix {
  /** [columns, blocks, block · bits / 8]; of two 4-bit integers in a byte the first is in the low bits. */
  readonly packed: Uint8Array;
  /** [columns, blocks]. weight = scale · (integer − 2^(bits − 1)). */
  readonly scales: Float32Array;
  readonly blocks: number;
  /** Of the weights before and after, in dB. */
  readonly signalToNoise: number;
}

/**
 * Rounds each block to the nearest of 2^bits levels. There is one more level below zero than above: the scale's sign
 * is chosen so that the weight of largest magnitude lies on that one exactly.
 * @returns undefined when a weight is not finite.
 */
export function quantizeBlocks(weights: Float32Array, layout: BlockLayout): BlockMatrix | undefined {
  const { rows, columns, transposed, bits, block } = layout;
  const half = 2 ** (bits - 1);
  const blocks = Math.ceil(rows / block);
  const scales = new Float32Array(columns * blocks);
  const packed = new Uint8Array((columns * blocks * block * bits) / 8);
  const restored = new Float32Array(weights.length);
  for (let column = 0; column < columns; column++) {
    for (let part = 0; part < blocks; part++) {
      const first = part * block;
      const last = Math.min(first + block, rows);
      const indexOf = (row: number): number => (transposed ? column * rows + row : row * columns + column);
      let extreme = 0;
      for (let row = first; row < last; row++) {
        const weight = weights[indexOf(row)]!;
        if (!Number.isFinite(weight)) return undefined;
        if (Math.abs(weight) > Math.abs(extreme)) extreme = weight;
      }
      const scale = Math.fround(extreme / -half) || 1;
      scales[column * blocks + part] = scale;
      for (let row = first; row < first + block; row++) {
        // Where a column ends before its last block does, zeros fill it.
        const weight = row < last ? weights[indexOf(row)]! : 0;
        const integer = Math.max(-half, Math.min(half - 1, Math.round(weight / scale)));
        if (row < last) restored[indexOf(row)] = integer * scale;
        const place = (column * blocks + part) * block + (row - first);
        if (bits === 8) packed[place] = integer + half;
        else packed[place >> 1]! |= (integer + half) << (place % 2 === 0 ? 0 : 4);
      }
    }
  }
  return { packed, scales, blocks, signalToNoise: signalToNoise(weights, restored) };
}
