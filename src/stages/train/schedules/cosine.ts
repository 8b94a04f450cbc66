import { z } from 'zod';
import { afterWarmup, fall, floorField, schedule, warmupField } from './schedule.js';

export const cosine = schedule({
  summary: 'falls along half a cosine to the end of the training (Loshchilov and Hutter, arXiv:1608.03983)',
  options: z.strictObject({ ...floorField, ...warmupField }),
  share: afterWarmup(({ step, steps }, { floor }) => floor + (1 - floor) * fall(step / Math.max(1, steps))),
});
