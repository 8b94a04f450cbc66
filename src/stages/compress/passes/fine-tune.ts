import { z } from 'zod';
import { MaasError } from '../../../errors.js';
import type { Model } from '../../../ir/graph.js';
import type { PassContext, Trainer } from '../../../plugin/api.js';

export const fitFields = {
  epochs: z.int().min(1).default(1).describe('Passes over the rows of the train split.'),
  learningRate: z.number().positive().default(1e-4).describe('Of Adam; falls along half a cosine to 0.'),
  batchSize: z.int().min(1).optional().describe('Rows of an update. Default: train.batchSize.'),
};

/** Further training that a pass asks for. */
export const fitSchema = z.strictObject(fitFields);
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

/**
 * Takes a rewrite step by step, with further training after each step that changes something.
 * @param rewrite Gives undefined where it finds nothing to do. Steps count from 1.
 * @returns undefined where no step changed anything.
 */
export async function inSteps(
  given: Model,
  steps: number,
  rewrite: (model: Model, step: number) => Promise<Model | undefined>,
  train: ((model: Model) => Promise<Model>) | undefined,
): Promise<Model | undefined> {
  let made: Model | undefined;
  for (let step = 1; step <= steps; step++) {
    const after = await rewrite(made ?? given, step);
    if (after) made = train ? await train(after) : after;
  }
  return made;
}
