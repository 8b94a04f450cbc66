import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quantizeBlocks, type BlockMatrix } from '../../../src/stages/compress/passes/quantize/blocks.js';

/** Weight at [row, column], read back the way MatMulNBits does. */
function readBack(matrix: BlockMatrix, bits: number, block: number, row: number, column: number): number {
  const part = Math.floor(row / block);
  const place = (column * matrix.blocks + part) * block + (row % block);
  const byte = matrix.packed[bits === 8 ? place : place >> 1]!;
  const integer = bits === 8 ? byte - 128 : ((byte >> (place % 2 === 0 ? 0 : 4)) & 15) - 8;
  return integer * matrix.scales[column * matrix.blocks + part]!;
}

describe('quantizeBlocks', () => {
  it('keeps every weight to a step of its block, and the largest exactly', () => {
    const weights = fc.float32Array({ minLength: 60, maxLength: 60, noNaN: true, min: -100, max: 100 });
    fc.assert(
      fc.property(weights, fc.constantFrom<4 | 8>(4, 8), fc.boolean(), (given, bits, transposed) => {
        const [rows, columns, block] = [20, 3, 16];
        const matrix = quantizeBlocks(given, { rows, columns, transposed, bits, block })!;
        expect(matrix.packed).toHaveLength((columns * 2 * block * bits) / 8);
        for (let column = 0; column < columns; column++) {
          for (let row = 0; row < rows; row++) {
            const weight = given[transposed ? column * rows + row : row * columns + column]!;
            const scale = Math.abs(matrix.scales[column * 2 + Math.floor(row / block)]!);
            const error = Math.abs(readBack(matrix, bits, block, row, column) - weight);
            // The extreme of the other sign lacks one level.
            expect(error).toBeLessThanOrEqual(scale * 1.0001);
          }
        }
      }),
    );
    const extreme = Float32Array.of(3, -2, 8, 1);
    const matrix = quantizeBlocks(extreme, { rows: 4, columns: 1, transposed: false, bits: 4, block: 16 })!;
    expect([0, 1, 2, 3].map((row) => readBack(matrix, 4, 16, row, 0))).toEqual([3, -2, 8, 1]);
  });

  it('refuses what is no number, and takes a block of zeros', () => {
    const layout = { rows: 2, columns: 1, transposed: false, bits: 4, block: 16 } as const;
    expect(quantizeBlocks(Float32Array.of(1, NaN), layout)).toBeUndefined();
    const { scales, packed } = quantizeBlocks(Float32Array.of(0, 0), layout)!;
    expect([...scales]).toEqual([1]);
    expect([...new Set(packed)]).toEqual([0x88]);
  });
});
