import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { schedules, shareOf } from '../../../src/stages/train/schedules/index.js';

interface Fixtures {
  readonly stepsPerEpoch: number;
  readonly losses: readonly number[];
  readonly cases: readonly { schedule: string; options: Record<string, number>; rates: readonly number[] }[];
}
const { stepsPerEpoch, losses, cases } = JSON.parse(
  readFileSync(new URL('../../fixtures/torch/schedules.json', import.meta.url), 'utf8'),
) as Fixtures;
const history = losses.map((validationLoss, index) => ({ epoch: index + 1, loss: 0, validationLoss }));
const steps = stepsPerEpoch * losses.length;

/** Shares of the learning rate at each step. */
function sharesOf(name: string, given: Record<string, unknown>): number[] {
  const options = schedules[name]!.options.parse(given) as Record<string, unknown>;
  return Array.from({ length: steps }, (_, step) =>
    shareOf(
      { schedule: { name, ...options } },
      { step, steps, stepsPerEpoch, history: history.slice(0, Math.floor(step / stepsPerEpoch)) },
    ),
  );
}

describe('learning rates are those of PyTorch', () => {
  it.each(cases.map((each) => [each.schedule, JSON.stringify(each.options), each] as const))(
    '%s %s',
    (name, _, { options, rates }) => {
      sharesOf(name, options).forEach((share, step) => {
        expect(share, `step ${step}`).toBeCloseTo(rates[step]!, 9);
      });
    },
  );

  it('for every schedule', () => {
    expect([...new Set(cases.map(({ schedule }) => schedule))].sort()).toEqual(Object.keys(schedules).sort());
  });
});

describe('schedules', () => {
  it('stay at the learning rate when none is chosen', () => {
    expect(shareOf({}, { step: 3, steps, stepsPerEpoch, history })).toBe(1);
  });

  it.each(Object.keys(schedules).filter((name) => name !== 'oneCycle'))(
    '%s warms up by parts of an epoch',
    (name) => {
      const shares = sharesOf(name, { warmup: 0.8 });
      expect(shares.slice(0, 4)).toEqual([0.25, 0.5, 0.75, 1]);
      expect(shares[4]).toBe(1);
    },
  );

  it.each(['step', 'exponential', 'cosine', 'reduceOnPlateau'])('%s stays above its floor', (name) => {
    const shares = sharesOf(name, { floor: 0.6, ...(name === 'reduceOnPlateau' && { patience: 1 }) });
    expect(Math.min(...shares)).toBeGreaterThanOrEqual(0.6);
    expect(Math.min(...shares)).toBeLessThan(0.61);
  });

  it('a plateau is not counted while it cools down', () => {
    const falls = (cooldown: number) =>
      new Set(sharesOf('reduceOnPlateau', { patience: 1, factor: 0.5, cooldown })).size - 1;
    // Seven epochs before the last are no better; with a rest, the 4th, 7th and 10th make it fall.
    expect(falls(0)).toBe(7);
    expect(falls(3)).toBe(3);
  });

  it.each([
    ['one cycle of one step', 'oneCycle', 1],
    ['one cycle of two steps', 'oneCycle', 2],
    ['a warm-up longer than the training', 'cosine', 3],
  ])('%s is a number', (_, name, length) => {
    const options = schedules[name]!.options.parse(name === 'cosine' ? { warmup: 9 } : {}) as object;
    for (let step = 0; step < length; step++) {
      const moment = { step, steps: length, stepsPerEpoch: length, history: [] };
      const share = shareOf({ schedule: { name, ...options } }, moment);
      expect(share).toBeGreaterThan(0);
      expect(share).toBeLessThanOrEqual(1);
    }
  });
});
