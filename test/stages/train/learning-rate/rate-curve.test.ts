import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RateCurve } from '../../../../src/stages/train/learning-rate/rate-curve.js';

const rates = Array.from({ length: 100 }, (_, at) => 1e-7 * 1e8 ** (at / 99));

/** Flat, then a fall over two powers of ten that ends at `bottom`, then a steep rise. */
function lossAt(rate: number, bottom: number): number {
  const before = Math.log10(bottom / rate);
  if (before >= 2) return 2;
  return before >= 0 ? 0.5 + 0.75 * before : 0.5 + 20 * before ** 2;
}

function measure(loss: (rate: number, at: number) => number): RateCurve {
  const curve = new RateCurve();
  for (const [at, rate] of rates.entries()) {
    if (curve.hasLeft) break;
    curve.add(rate, loss(rate, at));
  }
  return curve;
}

describe('RateCurve', () => {
  it('suggests a rate on the slope into the valley, wherever that is, and however noisy the losses are', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -4, max: -0.5, noNaN: true }),
        fc.array(fc.double({ min: -0.03, max: 0.03, noNaN: true }), { minLength: 100, maxLength: 100 }),
        (exponent, noise) => {
          const bottom = 10 ** exponent;
          const found = measure((rate, at) => lossAt(rate, bottom) + noise[at]!).suggest()!;
          expect(found).toBeGreaterThan(bottom / 1000);
          expect(found).toBeLessThan(bottom * 3);
        },
      ),
    );
  });

  it('takes no bump that fades for a fall', () => {
    const bottom = 10 ** -0.5;
    const found = measure((rate, at) => lossAt(rate, bottom) + (at === 1 ? 1.5e-5 : 0)).suggest()!;
    expect(found).toBeGreaterThan(bottom / 1000);
  });

  it('stops when the loss has left the valley', () => {
    const { points } = measure((rate) => lossAt(rate, 1e-3));
    expect(points.at(-1)!.learningRate).toBeGreaterThan(1e-3);
    expect(points.at(-1)!.learningRate).toBeLessThan(0.1);
  });

  it('suggests nothing where no rate makes the loss fall, or too few were tried', () => {
    expect(measure(() => 1).suggest()).toBeUndefined();
    expect(measure((rate) => 1 + rate).suggest()).toBeUndefined();
    const short = new RateCurve();
    for (let at = 0; at < 5; at++) short.add(rates[at]!, 1 / (at + 1));
    expect(short.suggest()).toBeUndefined();
    expect(short.hasLeft).toBe(false);
  });

  it('smooths without the pull of where it starts', () => {
    const curve = new RateCurve();
    for (let at = 0; at < 3; at++) curve.add(rates[at]!, 7);
    for (const { smoothed } of curve.points) expect(smoothed).toBeCloseTo(7, 12);
  });
});
