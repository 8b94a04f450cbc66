import { describe, expect, it } from 'vitest';
import { fromHalf, toHalves } from '../../src/ir/half.js';

const roundTrip = (...values: number[]): number[] =>
  Array.from(toHalves(Float32Array.from(values)), fromHalf);

describe('half floats', () => {
  it('come back as they were, all of them', () => {
    const all = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
    const numbers = Float32Array.from(all, fromHalf);
    const again = toHalves(numbers);
    all.forEach((bits, at) => {
      if (Number.isNaN(numbers[at]!)) expect(fromHalf(again[at]!)).toBeNaN();
      else if (again[at] !== bits) throw new Error(`${bits} became ${again[at]}`);
    });
  });

  it('are the nearest ones, and of two as near the even one', () => {
    const step = 2 ** -10;
    expect(roundTrip(1 + step / 2, 1 + step * 1.5, 1 + step * 0.51)).toEqual([1, 1 + 2 * step, 1 + step]);
    expect(roundTrip(2 ** -24 * 0.5, 2 ** -24 * 1.5, 2 ** -24 * 0.51)).toEqual([0, 2 ** -23, 2 ** -24]);
    expect(roundTrip(65_519, 65_520, -1e9)).toEqual([65_504, Infinity, -Infinity]);
    expect(roundTrip(2 ** -14 * (1 - 2 ** -12))).toEqual([2 ** -14]);
  });
});
