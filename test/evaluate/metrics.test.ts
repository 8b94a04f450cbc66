import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accuracy, logLoss, mae, mse, r2, recall, signalToNoise } from '../../src/evaluate/metrics.js';

describe('classification', () => {
  it('counts hits in all, and for each label', () => {
    const truth = ['a', 'a', 'b', 'b', 'b'];
    const predicted = ['a', 'b', 'b', 'b', 'c'];
    expect(accuracy(truth, predicted)).toBe(0.6);
    expect(recall(truth, predicted)).toEqual({ a: 0.5, b: 2 / 3 });
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
