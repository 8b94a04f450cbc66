import { describe, expect, it } from 'vitest';
import { earlyStoppingSchema, judge } from '../../../src/stages/train/early-stopping.js';

const of = (losses: number[]) =>
  losses.map((validationLoss, index) => ({ epoch: index + 1, loss: 0, validationLoss }));
const options = (given: object) => earlyStoppingSchema.parse(given);

describe('early stopping', () => {
  it.each<[string, number[], object, { best: number | undefined; stop: boolean }]>([
    ['goes on while it gets better', [3, 2, 1], { patience: 1 }, { best: 2, stop: false }],
    ['waits', [3, 2, 2.5, 2], { patience: 3 }, { best: 1, stop: false }],
    ['stops when it has waited', [3, 2, 2.5, 2, 2.1], { patience: 3 }, { best: 1, stop: true }],
    ['starts to wait again', [3, 2, 2.5, 1.9, 2.1], { patience: 2 }, { best: 3, stop: false }],
    ['does not count small gains', [3, 2.95, 2.9], { patience: 2, minDelta: 0.2 }, { best: 0, stop: true }],
    [
      'counts small gains that add up',
      [3, 2.9, 2.7],
      { patience: 2, minDelta: 0.2 },
      { best: 2, stop: false },
    ],
    ['never takes NaN for better', [NaN, 2, NaN], { patience: 2 }, { best: 1, stop: false }],
    ['passes over the first epochs', [1, 3, 2], { patience: 2, startFromEpoch: 1 }, { best: 2, stop: false }],
    ['does not wait in them', [1, 3, 4], { patience: 2, startFromEpoch: 2 }, { best: 2, stop: false }],
    ['waits after them', [1, 1, NaN, 2, 3], { patience: 2, startFromEpoch: 2 }, { best: 3, stop: false }],
    [
      'has no best when none was',
      [1, NaN, NaN],
      { patience: 2, startFromEpoch: 1 },
      { best: undefined, stop: true },
    ],
    ['takes more for better when told so', [1, 2], { patience: 1, mode: 'max' }, { best: 1, stop: false }],
    ['has not begun', [], { patience: 1 }, { best: undefined, stop: false }],
  ])('%s', (_, losses, given, expected) => {
    expect(judge(of(losses), options(given))).toEqual(expected);
  });

  it('wants accuracy to rise', () => {
    const history = [0.5, 0.6, 0.55].map((validationAccuracy, index) => ({
      epoch: index,
      loss: 0,
      validationAccuracy,
    }));
    const verdict = judge(history, options({ monitor: 'validationAccuracy', patience: 1 }));
    expect(verdict).toEqual({ best: 1, stop: true });
  });
});
