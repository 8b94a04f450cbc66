import type { TrainJob } from '../../../plugin/api.js';
import { constant } from './constant.js';
import { cosine } from './cosine.js';
import { exponential, step } from './decay.js';
import { oneCycle } from './one-cycle.js';
import { reduceOnPlateau } from './reduce-on-plateau.js';
import type { Moment, Schedule } from './schedule.js';

export type { Moment } from './schedule.js';

/** By the names that the config uses. */
export const schedules: Readonly<Record<string, Schedule>> = {
  constant,
  step,
  exponential,
  cosine,
  oneCycle,
  reduceOnPlateau,
};

/** The share of the job's learning rate that the next step is taken with. */
export function shareOf({ schedule }: Pick<TrainJob, 'schedule'>, moment: Moment): number {
  if (!schedule) return 1;
  const { name, ...options } = schedule;
  // The options were checked against this very schedule's schema.
  return schedules[name]!.share(moment, options as never);
}
