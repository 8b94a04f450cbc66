import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RawTable } from '../../src/data/readers/index.js';
import { splitRows, type SplitRows } from '../../src/data/split.js';
import { readTarget } from '../../src/data/target.js';
import { dataSchema } from '../../src/data/index.js';

/** A column without missing values. */
const whole = { rule: 'error', named: false, missing: 0, written: [] } as const;

interface Row {
  readonly x: number;
  readonly colour: string;
  readonly kind: string;
}

const shares = fc
  .tuple(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 10 }))
  .map(([a, b, c]) => ({ train: a / (a + b + c), validation: b / (a + b + c), test: c / (a + b + c) }));

/** Rows with many copies among them, and three different rows for each class. */
const tables = fc
  .array(
    fc.record({
      x: fc.integer({ min: 0, max: 12 }),
      colour: fc.constantFrom('red', 'blue'),
      kind: fc.constantFrom('a', 'b'),
    }),
    { maxLength: 80 },
  )
  .map((rows: Row[]) => [
    ...rows,
    ...['a', 'b'].flatMap((kind) => [100, 101, 102].map((x) => ({ x, colour: 'red', kind }))),
  ]);

function split(
  rows: readonly Row[],
  sizes: { train: number; validation: number; test: number },
  seed: number,
): SplitRows {
  const cells = [
    rows.map((row) => String(row.x)),
    rows.map((row) => row.colour),
    rows.map((row) => row.kind),
  ];
  const table: RawTable = {
    path: 'x.csv',
    sha256: '',
    header: ['x', 'colour', 'kind'],
    columns: cells,
    lines: rows.map((_, index) => index + 2),
    locate: () => Promise.reject(new Error('not asked for')),
  };
  const config = dataSchema.parse({ source: 'x.csv', target: 'kind' });
  const target = readTarget({ name: 'kind', type: 'category', ...whole, values: cells[2]! }, config, 'x.csv');
  return splitRows(table, target, sizes, seed);
}

const contents = (rows: readonly Row[], part: readonly number[]): string[] =>
  part.map((row) => JSON.stringify(rows[row]));

describe('splitRows', () => {
  it('puts every row in exactly one split, and every class in every split', () => {
    fc.assert(
      fc.property(tables, shares, fc.integer(), (rows, sizes, seed) => {
        const parts = Object.values(split(rows, sizes, seed));
        expect(parts.flat().sort((a, b) => a - b)).toEqual(rows.map((_, index) => index));
        for (const part of parts) expect(new Set(part.map((row) => rows[row]!.kind)).size).toBe(2);
      }),
    );
  });

  it('keeps copies of a row together', () => {
    fc.assert(
      fc.property(tables, shares, fc.integer(), (rows, sizes, seed) => {
        const { train, validation, test } = split(rows, sizes, seed);
        const [a, b, c] = [train, validation, test].map((part) => new Set(contents(rows, part)));
        expect([...a!].every((row) => !b!.has(row))).toBe(true);
        expect([...c!].every((row) => !a!.has(row) && !b!.has(row))).toBe(true);
      }),
    );
  });

  it('gives the same rows in the same order wherever they stand in the file', () => {
    const permuted = tables.chain((rows) =>
      fc.tuple(fc.constant(rows), fc.shuffledSubarray(rows, { minLength: rows.length })),
    );
    fc.assert(
      fc.property(permuted, shares, fc.integer(), ([rows, moved], sizes, seed) => {
        const [before, after] = [split(rows, sizes, seed), split(moved, sizes, seed)];
        for (const name of ['train', 'validation', 'test'] as const) {
          expect(contents(moved, after[name])).toEqual(contents(rows, before[name]));
        }
      }),
    );
  });

  it('comes near the shares asked for, class by class', () => {
    const rows = Array.from({ length: 300 }, (_, x) => ({ x, colour: 'red', kind: x < 200 ? 'a' : 'b' }));
    const { train, validation, test } = split(rows, { train: 0.7, validation: 0.2, test: 0.1 }, 3);
    const count = (part: readonly number[], kind: string): number =>
      part.filter((row) => rows[row]!.kind === kind).length;
    expect([train, validation, test].map((part) => [count(part, 'a'), count(part, 'b')])).toEqual([
      [140, 70],
      [40, 20],
      [20, 10],
    ]);
  });

  it('changes with the seed', () => {
    const rows = Array.from({ length: 60 }, (_, x) => ({ x, colour: 'red', kind: x % 2 ? 'a' : 'b' }));
    const sizes = { train: 0.6, validation: 0.2, test: 0.2 };
    expect(split(rows, sizes, 1)).not.toEqual(split(rows, sizes, 2));
    expect(split(rows, sizes, 1)).toEqual(split(rows, sizes, 1));
  });

  it('moves few rows when one is added', () => {
    const rows = Array.from({ length: 200 }, (_, x) => ({ x, colour: 'red', kind: x % 2 ? 'a' : 'b' }));
    const sizes = { train: 0.6, validation: 0.2, test: 0.2 };
    const before = new Set(contents(rows, split(rows, sizes, 1).test));
    const more = [...rows, { x: 1000, colour: 'blue', kind: 'a' }];
    const moved = contents(more, split(more, sizes, 1).test).filter((row) => !before.has(row));
    expect(moved.length).toBeLessThanOrEqual(2);
  });
});
