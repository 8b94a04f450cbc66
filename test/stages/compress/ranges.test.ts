import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  errorOf,
  gridOf,
  Histogram,
  leastDivergenceRange,
  leastErrorRange,
  percentileRange,
} from '../../../src/stages/compress/passes/quantize/ranges.js';

const finite = fc.float({ noNaN: true, min: -1e6, max: 1e6 });

function histogramOf(values: readonly number[]): Histogram {
  const histogram = new Histogram({ low: Math.min(...values), high: Math.max(...values) });
  histogram.add(values);
  return histogram;
}

describe('gridOf', () => {
  it('holds zero exactly and every value of the range to half a step', () => {
    fc.assert(
      fc.property(finite, finite, fc.double({ min: 0, max: 1, noNaN: true }), (one, other, share) => {
        const [low, high] = [Math.min(one, other), Math.max(one, other)];
        const { scale, zero } = gridOf({ low, high });
        expect(Number.isInteger(zero) && zero >= 0 && zero <= 255).toBe(true);
        const value = low + share * (high - low);
        const integer = Math.max(0, Math.min(255, Math.round(value / scale) + zero));
        // Rounding the zero point may move the grid by half a step, and the ends with it.
        expect(Math.abs(scale * (integer - zero) - value)).toBeLessThanOrEqual(scale * 1.001);
      }),
    );
  });

  it('starts at zero for what comes out of a Relu', () => {
    expect(gridOf({ low: 0.5, high: 2.55 })).toEqual({ scale: Math.fround(0.01), zero: 0 });
  });

  it('has a scale where there is no range', () => {
    expect(gridOf({ low: 0, high: 0 })).toEqual({ scale: 1, zero: 0 });
    expect(gridOf({ low: 0, high: 1e-45 })).toEqual({ scale: 1, zero: 0 });
  });
});

describe('a range by histogram', () => {
  const spread = Array.from({ length: 20_000 }, (_, index) => (index % 200) / 100 - 1);

  it('leaves out what is rare and far, by percentile', () => {
    const { low, high } = percentileRange(histogramOf([...spread, 100]), 0.999);
    expect(low).toBeGreaterThan(-1.1);
    expect(low).toBeLessThan(-0.9);
    expect(high).toBeLessThan(1.2);
    expect(percentileRange(histogramOf(spread), 1).high).toBeCloseTo(0.99);
  });

  it('gives up one outlier when that serves the rest, by squared error', () => {
    const calm = leastErrorRange(histogramOf(spread));
    expect(calm.high).toBeCloseTo(0.99, 1);
    const given = histogramOf([...spread, 3]);
    const { low, high } = leastErrorRange(given);
    expect(high).toBeLessThan(2.9);
    expect(high).toBeGreaterThan(0.9);
    expect(low).toBeCloseTo(-1, 1);
    // What it saves on the many is more than what it loses on the one.
    expect(errorOf(given, { low, high })).toBeLessThan(errorOf(given, given.range));
  });

  it('gives up what is rare and far, by divergence, and never for the zeros behind a Relu', () => {
    const bell = Array.from({ length: 5000 }, (_, at) => Math.sqrt(-2 * Math.log((at + 1) / 5001)));
    const { low, high } = leastDivergenceRange(histogramOf([...bell.map((v, i) => (i % 2 ? v : -v)), 40]));
    expect(high).toBeLessThan(20);
    expect(high).toBeGreaterThan(2.5);
    expect(low).toBeLessThan(-2.5);
    // Nine of ten are 0: a range around them alone would diverge least if they counted.
    const rectified = histogramOf([...new Array<number>(45_000).fill(0), ...bell]);
    expect(leastDivergenceRange(rectified).high).toBeGreaterThan(2.5);
    expect(leastDivergenceRange(histogramOf([0, 0]))).toEqual({ low: 0, high: 0 });
  });
});
