import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jensenShannon, stabilityIndex } from '../../src/data/drift/compare.js';
import { binFinder, countNumbers, countTexts } from '../../src/data/drift/distribution.js';

const counts = fc.array(fc.nat(1000), { minLength: 12, maxLength: 12 });

describe('the distance of two distributions', () => {
  it('is the root of the divergence to base 2, by its formula', () => {
    const [p, m] = [[1 / 4, 3 / 4] as const, [1 / 2, 1 / 2] as const];
    const relative = p[0] * Math.log2(p[0] / m[0]) + p[1] * Math.log2(p[1] / m[1]);
    // To [3, 1], which is as far from the middle.
    expect(jensenShannon([1, 3], [3, 1])).toBeCloseTo(Math.sqrt(relative), 12);
    expect(jensenShannon([1, 0], [0, 1])).toBe(1);
  });

  it('is the stability index by its formula, with half a row more in each bin', () => {
    const [p, q] = [[10.5 / 101, 90.5 / 101] as const, [50.5 / 101, 50.5 / 101] as const];
    const expected = (q[0] - p[0]) * Math.log(q[0] / p[0]) + (q[1] - p[1]) * Math.log(q[1] / p[1]);
    expect(stabilityIndex([10, 90], [50, 50])).toBeCloseTo(expected, 12);
    expect(stabilityIndex([100, 0], [0, 100])).toBeGreaterThan(5);
  });

  it('is the same both ways, 0 to itself, and finite', () => {
    fc.assert(
      fc.property(counts, counts, (a, b) => {
        for (const distance of [stabilityIndex, jensenShannon]) {
          expect(distance(a, a)).toBeCloseTo(0, 6);
          expect(distance(a, b)).toBeCloseTo(distance(b, a), 9);
          expect(Number.isFinite(distance(a, b))).toBe(true);
          expect(distance(a, b)).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });
});

describe('counts of numbers', () => {
  it('has about as many in each range, and those that are none apart', () => {
    const { edges, counts } = countNumbers(
      Float64Array.from({ length: 1001 }, (_, at) => (at < 1000 ? at : NaN)),
    );
    expect(edges).toEqual([100, 200, 300, 400, 500, 600, 700, 800, 900]);
    expect(counts).toEqual([...new Array<number>(10).fill(100), 1]);
  });

  it('puts every number into the range that it is in', () => {
    const any = fc.double({ noNaN: true });
    fc.assert(
      fc.property(fc.array(any, { minLength: 1 }), any, (values, value) => {
        const { edges, counts, type } = countNumbers(Float64Array.from(values));
        expect(counts.reduce((sum, count) => sum + count, 0)).toBe(values.length);
        const bin = binFinder({ type, edges })(value);
        expect(edges.filter((edge) => edge <= value)).toHaveLength(bin);
      }),
    );
  });

  it('takes a feature of two values, and one without any', () => {
    expect(countNumbers(Float64Array.of(0, 0, 0, 1))).toEqual({
      type: 'number',
      edges: [0, 1],
      counts: [0, 3, 1, 0],
    });
    expect(countNumbers(Float64Array.of(NaN, NaN))).toEqual({ type: 'number', edges: [], counts: [0, 2] });
  });
});

describe('counts of texts', () => {
  it('has the frequent ones, then the others, then none', () => {
    const rare = Array.from({ length: 30 }, (_, at) => `rare ${at}`);
    const { values, counts } = countTexts(['b', 'b', 'a', '', ...rare]);
    expect(values.slice(0, 2)).toEqual(['b', 'a']);
    expect(values).toHaveLength(20);
    expect([counts[0], counts[20], counts[21]]).toEqual([2, 12, 1]);
  });
});
