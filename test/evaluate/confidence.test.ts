import { describe, expect, it } from 'vitest';
import {
  dropAtMost,
  momentsOf,
  normalQuantile,
  ratioAtMost,
  rowsFor,
  shareAtLeast,
} from '../../src/evaluate/confidence.js';
import { noise } from './models.js';

it('quantiles of the normal distribution', () => {
  expect(normalQuantile(0.5)).toBeCloseTo(0, 5);
  expect(normalQuantile(0.95)).toBeCloseTo(1.644854, 5);
  expect(normalQuantile(0.975)).toBeCloseTo(1.959964, 5);
  expect(normalQuantile(0.01)).toBeCloseTo(-2.326348, 5);
});

describe('a share of rows', () => {
  it('is at least what Wilson has', () => {
    // 1 − z²/(n + z²) when all rows hit, whatever their number.
    expect(shareAtLeast(100, 100, 0.95)).toBeCloseTo(1 - 2.705543 / 102.705543, 6);
    // statsmodels 0.14, proportion_confint(81, 263, 0.05, 'wilson').
    expect(shareAtLeast(81, 263, 0.975)).toBeCloseTo(0.255289, 5);
    expect(shareAtLeast(0, 10, 0.95)).toBe(0);
    expect(shareAtLeast(0, 0, 0.95)).toBe(0);
  });

  it('drops by at most what Tango has', () => {
    // Fagerland, Lydersen and Laake (Statistics in Medicine 33, 2014): 1 and 7 of 21 pairs differ, −0.517 to −0.026.
    expect(dropAtMost({ rows: 21, lost: 1, gained: 7 }, 0.975)).toBeCloseTo(-0.026, 3);
    expect(dropAtMost({ rows: 21, lost: 7, gained: 1 }, 0.975)).toBeCloseTo(0.517, 3);
    expect(dropAtMost({ rows: 0, lost: 0, gained: 0 }, 0.95)).toBe(1);
  });

  it('drops by what Wilson has where nothing is gained', () => {
    for (const [rows, lost] of [
      [50, 0],
      [50, 3],
      [1000, 1],
    ] as const) {
      const wilson = 1 - shareAtLeast(rows - lost, rows, 0.95);
      expect(dropAtMost({ rows, lost, gained: 0 }, 0.95)).toBeCloseTo(wilson, 6);
    }
  });

  it('takes as many rows as it says', () => {
    const rows = rowsFor(0.01, 0.95);
    expect(rows).toBe(268);
    expect(dropAtMost({ rows, lost: 0, gained: 0 }, 0.95)).toBeLessThanOrEqual(0.01);
    expect(dropAtMost({ rows: rows - 1, lost: 0, gained: 0 }, 0.95)).toBeGreaterThan(0.01);
    expect(rowsFor(0, 0.95)).toBe(Infinity);
  });
});

/** Uniform in [0, 1). */
function uniform(seed: number): () => number {
  const random = noise(seed);
  return () => (random() + 1) / 2;
}

describe('bounds hold as often as they say', () => {
  it.each([
    [200, 0.03, 0.01],
    [60, 0.1, 0.1],
  ])('of a drop: %i rows, %f lost, %f gained', (rows, lose, gain) => {
    const random = uniform(rows);
    let held = 0;
    const tries = 1500;
    for (let at = 0; at < tries; at++) {
      const change = { rows, lost: 0, gained: 0 };
      for (let row = 0; row < rows; row++) {
        const luck = random();
        if (luck < lose) change.lost += 1;
        else if (luck < lose + gain) change.gained += 1;
      }
      if (dropAtMost(change, 0.95) >= lose - gain) held += 1;
    }
    expect(held / tries).toBeGreaterThan(0.93);
    expect(held / tries).toBeLessThan(0.98);
  });

  it('of a ratio of means of the same rows', () => {
    const random = uniform(3);
    let held = 0;
    const tries = 1500;
    for (let at = 0; at < tries; at++) {
      const moments = momentsOf(100, () => {
        const before = random();
        return [1.1 * before + 0.2 * (random() - 0.5), before];
      });
      if (ratioAtMost(moments, 0.95) >= 1.1) held += 1;
    }
    expect(held / tries).toBeGreaterThan(0.93);
    expect(held / tries).toBeLessThan(0.97);
  });
});

describe('a ratio of means', () => {
  it('of equal numbers is certain', () => {
    expect(
      ratioAtMost(
        momentsOf(20, (row) => [row, row]),
        0.95,
      ),
    ).toBeCloseTo(1, 6);
  });

  it('over a constant is the bound of a mean', () => {
    const values = [1, 2, 3, 4, 5];
    const bound = ratioAtMost(
      momentsOf(5, (row) => [values[row]!, 1]),
      0.95,
    );
    expect(bound).toBeCloseTo(3 + 1.644854 * Math.sqrt(2.5 / 5), 5);
  });

  it('is unknown where there is too little to tell', () => {
    expect(
      ratioAtMost(
        momentsOf(1, () => [1, 1]),
        0.95,
      ),
    ).toBe(Infinity);
    expect(
      ratioAtMost(
        momentsOf(4, (row) => [1, row % 2 ? 1 : -1]),
        0.95,
      ),
    ).toBe(Infinity);
    expect(
      ratioAtMost(
        momentsOf(4, () => [NaN, 1]),
        0.95,
      ),
    ).toBeNaN();
  });
});
