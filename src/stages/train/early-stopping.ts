import { z } from 'zod';
import type { TrainOutcome } from '../../plugin/api.js';
import { findImprovements, watchFields } from './watch.js';

export const earlyStoppingSchema = z.strictObject({
  patience: z.int().min(1).default(10).describe('Epochs without a better figure after which training ends.'),
  ...watchFields,
  startFromEpoch: z
    .int()
    .min(0)
    .default(0)
    .describe('Epochs at the beginning that do not count, neither as best nor as waiting.'),
  restoreBestWeights: z
    .boolean()
    .default(true)
    .describe('Whether the model gets the weights of its best epoch, and not those of its last.'),
});

export type EarlyStopping = z.output<typeof earlyStoppingSchema>;

/** How a training stands: its best epoch, as an index into the history, and whether it is time to stop. */
export function judge(
  history: TrainOutcome['history'],
  options: EarlyStopping,
): { readonly best: number | undefined; readonly stop: boolean } {
  const best = findImprovements(history, options, options.startFromEpoch).lastIndexOf(true);
  const since = Math.max(best, options.startFromEpoch - 1);
  return { best: best < 0 ? undefined : best, stop: history.length - 1 - since >= options.patience };
}
