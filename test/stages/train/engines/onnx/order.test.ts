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
