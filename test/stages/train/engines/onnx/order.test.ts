import { describe, expect, it } from 'vitest';
import type { Column } from '../../../../../src/data/dataset.js';
import { blocksKept } from '../../../../../src/data/rows.js';
import { openOrder } from '../../../../../src/stages/train/engines/onnx/order.js';
import { shuffledRows } from '../../../../../src/stages/train/engines/onnx/random.js';
import { classes } from './jobs.js';

const dataset = classes();

const stored = (rows: number, block: number): Column => ({
  dtype: 'float32',
  dims: [rows],
  data: { path: 'x', offset: 0, length: 4 * rows, block },
});
const inMemory = (rows: number): Column => ({ dtype: 'float32', dims: [rows], data: new Float32Array(rows) });

describe('the order of an epoch', () => {
  const block = 10;
  const few = block * blocksKept;

  it.each([
    ['in memory', inMemory(1003), 1003],
    ['on disk, where few blocks hold all', stored(few, block), few],
  ])('is any order: %s', (_, column, rows) => {
    const order = openOrder([column], rows, { seed: 7, dataset });
    expect(order(2, 0, rows)).toEqual(shuffledRows(rows, 7, 2));
    expect(order(2, 5, 9)).toEqual(shuffledRows(rows, 7, 2).subarray(5, 14));
  });

  it('has each row once on disk, and no more blocks at a time than are kept', () => {
    const rows = 1000;
    const order = openOrder([stored(rows, block)], rows, { seed: 7, dataset });
    const found = [...order(0, 0, rows)];
    expect(found.toSorted((a, b) => a - b)).toEqual([...Array(rows).keys()]);
    for (let at = 0; at + few <= rows - few; at += few) {
      const blocks = new Set(found.slice(at, at + few).map((row) => Math.floor(row / block)));
      expect(blocks.size).toBe(blocksKept);
      // A window of blocks is mixed well: neighbours are seldom of one block.
      const same = found
        .slice(at, at + few)
        .filter((row, index, part) => Math.floor(row / block) === Math.floor(part[index + 1]! / block));
      expect(same.length).toBeLessThan(few / 3);
    }
  });

  it('has as many rows of each class on disk, those of a class alike, and few blocks at a time', () => {
    const rows = 1000;
    const indices = BigInt64Array.from({ length: rows }, (_, row) =>
      row % 10 === 3 ? 4n : row % 3 ? 0n : 1n,
    );
    const target: Column = { dtype: 'int64', dims: [rows], data: indices };
    const balanced = {
      ...dataset,
      splits: { ...dataset.splits, train: { ...dataset.splits.train, rows, target } },
    };
    const column = stored(rows, block);
    const order = openOrder([column], rows, { seed: 7, dataset: balanced, sampling: 'balanced' });
    const sizes = [...new Set(indices)].map((one) => indices.filter((index) => index === one).length);
    const seen = new Set<number>();
    for (let epoch = 0; epoch < 24; epoch++) {
      const found = [...order(epoch, 0, rows)];
      expect(found).toEqual([...order(epoch, 0, 333), ...order(epoch, 333, rows - 333)]);
      [...new Set(indices)].forEach((one, at) => {
        const taken = found.filter((row) => indices[row] === one);
        expect(Math.abs(taken.length - rows / 3)).toBeLessThan(1);
        const copies = new Map<number, number>();
        for (const row of taken) copies.set(row, (copies.get(row) ?? 0) + 1);
        const least = copies.size < sizes[at]! ? 0 : Math.min(...copies.values());
        expect(Math.max(...copies.values()) - least).toBeLessThanOrEqual(1);
      });
      const blocks = new Set(found.slice(0, 60).map((row) => Math.floor(row / block)));
      expect(blocks.size).toBeLessThanOrEqual(blocksKept);
      for (const row of found) seen.add(row);
    }
    expect(seen.size).toBe(rows);
  });

  it('does not depend on how it is asked for, and differs from epoch to epoch and seed to seed', () => {
    const rows = 1003;
    const column = stored(rows, block);
    const whole = openOrder([column], rows, { seed: 7, dataset })(1, 0, rows);
    const order = openOrder([column], rows, { seed: 7, dataset });
    for (const [start, count] of [
      [900, 103],
      [75, 10],
      [0, 3],
      [79, 2],
      [100, 500],
    ] as const) {
      expect(order(1, start, count)).toEqual(whole.subarray(start, start + count));
    }
    expect(order(2, 0, rows)).not.toEqual(whole);
    expect(openOrder([column], rows, { seed: 8, dataset })(1, 0, rows)).not.toEqual(whole);
  });
});
