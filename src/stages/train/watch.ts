import { z } from 'zod';
import type { TrainOutcome } from '../../plugin/api.js';

type History = TrainOutcome['history'];

/** Figures of an epoch that can be watched, and whether a greater one is better. */
const greaterIsBetter = { loss: false, validationLoss: false, validationAccuracy: true } as const;

/** Options of whatever waits for a figure to get better. */
export const watchFields = {
  metric: z
    .enum(Object.keys(greaterIsBetter) as (keyof typeof greaterIsBetter)[])
    .default('validationLoss')
    .describe('Figure of each epoch that is watched.'),
  minDelta: z.number().min(0).default(0).describe('Least change that counts as better.'),
};

export interface Watch {
  readonly metric: keyof typeof greaterIsBetter;
  readonly minDelta: number;
}

/**
 * Whether each epoch was better than all before it, by more than `minDelta`. A function of the history alone: a training
 * that goes on from a checkpoint comes to the same answers. A figure that is not there or no number is never better.
 */
export function findImprovements(history: History, { metric, minDelta }: Watch): boolean[] {
  const sign = greaterIsBetter[metric] ? 1 : -1;
  let best = -Infinity;
  return history.map((epoch) => {
    const value = sign * (epoch[metric] ?? NaN);
    const better = value > best + minDelta || (best === -Infinity && value > best);
    if (better) best = value;
    return better;
  });
}
