import { z } from 'zod';
import { findImprovements, watchFields, type Watch } from '../watch.js';
import { afterWarmup, floorField, schedule, warmupField, type Moment } from './schedule.js';

interface Options extends Watch {
  readonly patience: number;
  readonly cooldown: number;
  readonly factor: number;
  readonly floor: number;
  readonly warmup: number;
}

/** Counts as Keras' ReduceLROnPlateau does. */
export const reduceOnPlateau = schedule<Options>({
  summary: 'falls by a factor whenever a figure has not got better for some epochs',
  options: z.strictObject({
    ...watchFields,
    minDelta: z.number().min(0).default(1e-4).describe('Least change that counts as better.'),
    patience: z.int().min(1).default(10).describe('Epochs without a better figure before the rate falls.'),
    cooldown: z.int().min(0).default(0).describe('Epochs after a fall that do not count.'),
    factor: z.number().positive().lt(1).default(0.1).describe('What the rate is multiplied by each time.'),
    ...floorField,
    ...warmupField,
  }),
  share: afterWarmup(({ history }, options) =>
    Math.max(options.floor, options.factor ** countFalls(history, options)),
  ),
});

function countFalls(history: Moment['history'], options: Options): number {
  let [falls, waited, resting] = [0, 0, 0];
  for (const better of findImprovements(history, options)) {
    if (resting > 0) {
      resting -= 1;
      waited = 0;
    }
    if (better) waited = 0;
    else if (resting === 0 && ++waited >= options.patience) {
      falls += 1;
      resting = options.cooldown;
      waited = 0;
    }
  }
  return falls;
}
