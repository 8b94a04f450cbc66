import { z } from 'zod';
import { afterWarmup, schedule, warmupField } from './schedule.js';

export const constant = schedule({
  summary: 'the same rate throughout',
  options: z.strictObject({ ...warmupField }),
  share: afterWarmup(() => 1),
});
