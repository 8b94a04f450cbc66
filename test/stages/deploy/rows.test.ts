import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Table } from '../../../src/data/dataset.js';
import type { NdArray } from '../../../src/ir/tensor.js';
import { joinRows, pickRows, takeRow, toPlain } from '../../../src/stages/deploy/rows.js';

function tableOf(target: NdArray): Table {
  const rows = target.data.length;
  return { rows, lines: Uint32Array.from({ length: rows }, (_, row) => row + 2), inputs: {}, target };
}

function classes(values: readonly number[]): Table {
  return tableOf({ dtype: 'int64', dims: [values.length], data: BigInt64Array.from(values, BigInt) });
}

describe('pickRows', () => {
  it('takes distinct rows in order, as many as there are or the limit', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(4), { maxLength: 60 }),
        fc.integer({ min: 1, max: 20 }),
        (values, limit) => {
          const picked = pickRows(classes(values), limit);
          expect(picked).toHaveLength(Math.min(limit, values.length));
          expect(picked).toEqual([...new Set(picked)].sort((a, b) => a - b));
          expect(picked.every((row) => row >= 0 && row < values.length)).toBe(true);
        },
      ),
    );
  });

  it('has every class among the rows when there is room for all', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(15), { minLength: 1, maxLength: 100 }), (values) => {
        const picked = pickRows(classes(values), 16).map((row) => values[row]);
        expect(new Set(picked)).toEqual(new Set(values));
      }),
    );
  });

  it('spreads the rows of a regression over the range of its target', () => {
    const target = Float32Array.from({ length: 100 }, (_, row) => (row * 37) % 100);
    const picked = pickRows(tableOf({ dtype: 'float32', dims: [100, 1], data: target }), 4);
    expect(picked.map((row) => target[row]!).sort((a, b) => a - b)).toEqual([0, 25, 50, 75]);
  });
});

describe('arrays', () => {
  it('are the same after they were taken apart and joined', () => {
    const arrays: Record<string, NdArray> = {
      number: { dtype: 'float32', dims: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
      text: { dtype: 'string', dims: [3, 1], data: ['a', 'b', 'c'] },
      index: { dtype: 'int64', dims: [3], data: BigInt64Array.of(7n, 8n, 9n) },
    };
    expect(joinRows([0, 1, 2].map((row) => takeRow(arrays, row)))).toEqual(arrays);
  });

  it('come back from JSON as the very same float32, with no more digits than it needs', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const data = Float32Array.of(value);
        const [plain] = JSON.parse(JSON.stringify(toPlain({ dtype: 'float32', dims: [1], data }))) as [
          number,
        ];
        expect(Math.fround(plain) === data[0]).toBe(true);
        expect(plain.toString().length).toBeLessThanOrEqual(data[0]!.toString().length);
      }),
    );
    const data = Float32Array.of(5.1, 0.1, 1e-7, 16777217);
    expect(toPlain({ dtype: 'float32', dims: [4], data })).toEqual([5.1, 0.1, 1e-7, 16777216]);
  });
});
