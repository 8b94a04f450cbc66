import { z } from 'zod';
import { afterWarmup, floorField, schedule, warmupField } from './schedule.js';

const fields = (every: number, factor: number) => ({
  every: z
    .number()
    .positive()
    .default(every)
    .describe('Epochs, or parts of one, in which the rate falls once.'),
  factor: z.number().positive().max(1).default(factor).describe('What the rate is multiplied by each time.'),
  ...floorField,
  ...warmupField,
});

export const step = schedule({
  summary: 'falls by a factor every so many epochs',
  options: z.strictObject(fields(10, 0.1)),
  share: afterWarmup((moment, { every, factor, floor }) => {
    // Rounded, because three times a third of an epoch is a whole one.
    const times = Math.floor(moment.step / Math.max(1, Math.round(every * moment.stepsPerEpoch)));
    return Math.max(floor, factor ** times);
  }),
});

export const exponential = schedule({
  summary: 'falls a little with each step, by a factor in so many epochs',
  options: z.strictObject(fields(1, 0.95)),
  share: afterWarmup(({ step: done, stepsPerEpoch }, { every, factor, floor }) =>
    Math.max(floor, factor ** (done / (every * stepsPerEpoch))),
  ),
});
