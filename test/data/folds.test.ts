import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dealFold } from '../../src/data/folds.js';
import type { Unit } from '../../src/data/split-units.js';

const unitsOf = (sizes: readonly number[]): Unit[] => {
  let next = 0;
  return sizes.map((size, at) => ({
    hash: `${(at * 7919) % 1009}`.padStart(4, '0'),
    rows: Array.from({ length: size }, () => next++),
  }));
};
const classOf = ({ rows }: Unit): number => rows[0]! % 3;
const rowsOf = (units: readonly Unit[]): number[] => units.flatMap(({ rows }) => rows).sort((a, b) => a - b);

describe('dealFold', () => {
  it('holds each row out once, never tears a unit apart, and makes parts alike', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 10, maxLength: 60 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 2, max: 10 }), (lengths, count) => {
        const units = unitsOf(lengths);
        const folds = Array.from({ length: count }, (_, held) =>
          dealFold(units, classOf, { count, held }, 'data.csv'),
        );
        expect(rowsOf(folds.flatMap(({ validation }) => validation))).toEqual(rowsOf(units));
        for (const { train, validation } of folds) {
          expect(rowsOf([...train, ...validation])).toEqual(rowsOf(units));
          expect(new Set([...train, ...validation]).size).toBe(units.length);
        }
        const held = folds.map(({ validation }) => rowsOf(validation).length);
        expect(Math.max(...held) - Math.min(...held)).toBeLessThanOrEqual(4);
      }),
    );
  });

  it('spreads the classes, whatever order the rows come in', () => {
    const units = unitsOf(new Array<number>(60).fill(1));
    for (let held = 0; held < 5; held++) {
      const { validation } = dealFold(units, classOf, { count: 5, held }, 'data.csv');
      expect([0, 1, 2].map((each) => validation.filter((unit) => classOf(unit) === each).length)).toEqual([
        4, 4, 4,
      ]);
      const other = dealFold(units.toReversed(), classOf, { count: 5, held }, 'data.csv');
      expect(rowsOf(other.validation)).toEqual(rowsOf(validation));
    }
  });

  it('trains on all where nothing is held out', () => {
    const units = unitsOf([1, 2, 1]);
    expect(dealFold(units, classOf, { count: 2 }, 'data.csv').train).toHaveLength(3);
  });

  it('refuses more parts than there are units', () => {
    const attempt = (): unknown => dealFold(unitsOf([3, 3]), classOf, { count: 3, held: 0 }, 'data.csv');
    expect(attempt).toThrow('train.folds is 3, the data has 2 different rows to train and validate on');
  });
});
