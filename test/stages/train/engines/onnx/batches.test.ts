import { describe, expect, it } from 'vitest';
import type { NdArray } from '../../../../../src/ir/tensor.js';
import { prepareBatches } from '../../../../../src/stages/train/engines/onnx/batches.js';
import { fillMask } from '../../../../../src/stages/train/engines/onnx/dropout.js';
import { openRooms } from '../../../../../src/stages/train/engines/onnx/rooms.js';
import { shuffledRows } from '../../../../../src/stages/train/engines/onnx/random.js';

describe('prepareBatches', () => {
  const rows = 5;
  const narrow: NdArray = { dtype: 'int64', dims: [rows], data: BigInt64Array.from([0n, 1n, 2n, 3n, 4n]) };
  const words: NdArray = { dtype: 'string', dims: [rows, 1], data: ['a', 'b', 'c', 'd', 'e'] };
  const wide: NdArray = {
    dtype: 'float32',
    dims: [rows, 6, 8],
    data: Float32Array.from({ length: rows * 48 }, (_, at) => at),
  };

  it('takes rows of every kind in the order given, last batch included', () => {
    const take = prepareBatches({ narrow, words, wide }, openRooms());
    const order = [4, 0, 2, 1, 3];
    const seen = [0, 3].map((start) => {
      const batch = take(order, start, [Math.min(3, rows - start)]);
      expect(batch['wide']!.dims).toEqual([Math.min(3, rows - start), 6, 8]);
      return {
        narrow: Array.from(batch['narrow']!.data, Number),
        words: [...(batch['words']!.data as string[])],
        wide: Array.from(batch['wide']!.data, Number).filter((_, at) => at % 48 === 47),
      };
    });
    expect(seen).toEqual([
      { narrow: [4, 0, 2], words: ['e', 'a', 'c'], wide: [239, 47, 143] },
      { narrow: [1, 3], words: ['b', 'd'], wide: [95, 191] },
    ]);
  });

  it('fills what was given back again, and nothing that was not', () => {
    const rooms = openRooms();
    const take = prepareBatches({ wide }, rooms);
    const bufferOf = (batch: Record<string, NdArray>) => (batch['wide']!.data as Float32Array).buffer;
    const first = take([0, 1, 2], 0, [3]);
    const second = take([2, 3], 0, [2]);
    expect(bufferOf(second)).not.toBe(bufferOf(first));
    const buffers = [bufferOf(first), bufferOf(second)];
    rooms.giveBack(first);
    rooms.giveBack(second);
    // The smallest that is large enough.
    const third = take([4, 1], 0, [2]);
    expect(bufferOf(third)).toBe(buffers[1]);
    expect(third['wide']!.dims).toEqual([2, 6, 8]);
    expect(Array.from(third['wide']!.data, Number).slice(46, 50)).toEqual([238, 239, 48, 49]);
    expect(bufferOf(take([3], 0, [1]))).toBe(buffers[0]);
    const large = take([0, 1, 2, 3], 0, [4]);
    expect(large['wide']!.data).toHaveLength(4 * 48);
  });

  it('stacks batches, and makes room when more are asked for', () => {
    const take = prepareBatches({ narrow, wide }, openRooms());
    expect(take([3, 1], 0, [1, 2])['narrow']).toEqual({
      ...narrow,
      dims: [1, 2],
      data: BigInt64Array.from([3n, 1n]),
    });
    const two = take([4, 0, 2, 1, 3], 1, [2, 2]);
    expect(two['narrow']).toEqual({ ...narrow, dims: [2, 2], data: BigInt64Array.from([0n, 2n, 1n, 3n]) });
    expect(two['wide']!.dims).toEqual([2, 2, 6, 8]);
    expect(take([4], 0, [1, 1])['narrow']).toEqual({
      ...narrow,
      dims: [1, 1],
      data: BigInt64Array.from([4n]),
    });
  });
});

describe('shuffledRows', () => {
  it('has each row once, in another order each epoch, the same for the same seed', () => {
    const order = shuffledRows(1000, 7, 0);
    expect([...order].sort((a, b) => a - b)).toEqual([...Array(1000).keys()]);
    expect(shuffledRows(1000, 7, 0)).toEqual(order);
    expect(shuffledRows(1000, 7, 1)).not.toEqual(order);
    expect(shuffledRows(1000, 8, 0)).not.toEqual(order);
    // Moved about 1000/3 places on average when the order is uniform.
    const moved = order.reduce((sum, row, at) => sum + Math.abs(row - at), 0) / 1000;
    expect(moved).toBeGreaterThan(280);
    expect(moved).toBeLessThan(390);
  });
});

describe('fillMask', () => {
  it.each([0, 0.1, 0.5, 0.9])('drops a share of %d and keeps the mean', (rate) => {
    const mask = { name: 'drop', shape: ['N', 100], width: 100, rate };
    const draw = (seed: number, step: number, count = 9999) => {
      const into = new Float32Array(count);
      fillMask(into, mask, seed, step);
      return into;
    };
    const first = draw(1, 1);
    expect(new Set(first).size).toBeLessThanOrEqual(2);
    expect(first.filter((value) => value === 0).length / first.length).toBeCloseTo(rate, 1);
    expect(first.reduce((sum, value) => sum + value, 0) / first.length).toBeCloseTo(1, 0);
    expect(draw(1, 1)).toEqual(first);
    if (rate > 0) expect(draw(1, 2)).not.toEqual(first);
    if (rate > 0) expect(draw(2, 1)).not.toEqual(first);
  });
});
