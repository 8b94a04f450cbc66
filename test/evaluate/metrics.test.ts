import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  accuracy,
  balancedAccuracy,
  f1,
  logLoss,
  mae,
  mse,
  r2,
  recall,
  rocAuc,
  signalToNoise,
} from '../../src/evaluate/metrics.js';

describe('classification', () => {
  it('counts hits in all, and for each label', () => {
    const truth = ['a', 'a', 'b', 'b', 'b'];
    const predicted = ['a', 'b', 'b', 'b', 'c'];
    expect(accuracy(truth, predicted)).toBe(0.6);
    expect(recall(truth, predicted)).toEqual({ a: 0.5, b: 2 / 3 });
  });

  it('counts each label alike, however rare', () => {
    const truth = ['a', 'a', 'a', 'b'];
    const predicted = ['a', 'a', 'b', 'b'];
    expect(balancedAccuracy(truth, predicted)).toBeCloseTo((2 / 3 + 1) / 2);
    expect(f1(truth, predicted)).toBeCloseTo((4 / 5 + 2 / 3) / 2);
    expect(f1(['a'], ['c'])).toBe(0);
    expect(f1(truth, truth)).toBe(1);
  });

  it('compares each row of class 1 with each of class 0', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 4 })), { maxLength: 12 }),
        (rows) => {
          const scores = (which: boolean) => rows.filter(([one]) => one === which).map(([, score]) => score);
          const [ones, zeros] = [scores(true), scores(false)];
          const wins = ones.flatMap((one) => zeros.map((zero) => (one > zero ? 1 : one === zero ? 0.5 : 0)));
          const expected = wins.reduce<number>((sum, win) => sum + win, 0) / wins.length;
          const found = rocAuc(
            rows.map(([one]) => Number(one)),
            rows.map(([, score]) => score),
          );
          if (wins.length === 0) expect(found).toBeNaN();
          else expect(found).toBeCloseTo(expected, 12);
        },
      ),
    );
    expect(rocAuc([0, 1], [NaN, 1])).toBeNaN();
  });

  it('takes the logarithm of the true class', () => {
    expect(logLoss([0, 1], [0.5, 0.5, 0.75, 0.25], 2)).toBeCloseTo((Math.log(2) + Math.log(4)) / 2);
  });

  it('stays finite for a probability of 0, and does not hide NaN', () => {
    expect(logLoss([0], [0, 1], 2)).toBeCloseTo(24 * Math.log(2));
    expect(logLoss([0], [NaN, 1], 2)).toBeNaN();
  });
});

describe('regression', () => {
  it('measures squared and absolute errors', () => {
    expect(mse([1, 2], [2, 4])).toBe(2.5);
    expect(mae([1, 2], [2, 4])).toBe(1.5);
  });

  it('gives r2 of 1 for the truth and 0 for its mean', () => {
    expect(r2([1, 2, 3], [1, 2, 3])).toBe(1);
    expect(r2([1, 2, 3], [2, 2, 2])).toBe(0);
    expect(r2([2, 2], [2, 2])).toBe(1);
    expect(r2([2, 2], [1, 3])).toBe(0);
  });
});

describe('signalToNoise', () => {
  it('is 20 dB for a tenth of the amplitude', () => {
    expect(signalToNoise([1, -2, 3], [1.1, -2.2, 3.3])).toBeCloseTo(20);
    expect(signalToNoise([1, 2], [1, 2])).toBe(Infinity);
  });

  it('does not depend on scale', () => {
    const values = fc.array(fc.double({ min: 1, max: 10, noNaN: true }), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 100, noNaN: true }), (reference, scale) => {
        const other = reference.map((value, index) => value + 0.1 * ((index % 3) + 1));
        const scaled = signalToNoise(
          reference.map((value) => value * scale),
          other.map((value) => value * scale),
        );
        expect(scaled).toBeCloseTo(signalToNoise(reference, other), 3);
      }),
    );
  });
});
