import { z } from 'zod';
import { MaasError } from '../../../errors.js';
import type { PassContext, Trainer } from '../../../plugin/api.js';

const fields = {
  epochs: z.int().min(1).default(1).describe('Passes over the rows of the train split.'),
  learningRate: z.number().positive().default(1e-4).describe('Of Adam; falls along half a cosine to 0.'),
  batchSize: z.int().min(1).optional().describe('Rows of an update. Default: train.batchSize.'),
};

/** Further training that a pass asks for. */
export const fitSchema = z.strictObject(fields);
export type FitSettings = z.output<typeof fitSchema>;

/**
 * @throws MaasError MAAS_USAGE where a model is compressed without a project: there are no rows with answers.
 */
export function trainerOf({ trainer }: PassContext, pass: string, what: string): Trainer {
  if (trainer) return trainer;
  throw new MaasError('MAAS_USAGE', `${pass} cannot ${what}: a model from a file has no rows to train on`, {
    hint: `Leave ${pass} out, or compress the model in the project that it was trained in.`,
  });
}
