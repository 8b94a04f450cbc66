import { z } from 'zod';
import type { TrainOutcome } from '../../../plugin/api.js';

/** A moment in a training. */
export interface Moment {
  /** Steps that are done. */
  readonly step: number;
  /** Steps of the whole training. */
  readonly steps: number;
  readonly stepsPerEpoch: number;
  /** Epochs that are done. */
  readonly history: TrainOutcome['history'];
}

export interface Schedule<Options = never> {
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  /** The share of the optimizer's learning rate that the next step is taken with: a function of the moment alone. */
  share(moment: Moment, options: Options): number;
}

/** Keeps the type of the options inside a definition. */
export function schedule<Options>(definition: Schedule<Options>): Schedule {
  return definition as Schedule;
}

export const warmupField = {
  warmup: z.number().min(0).default(0).describe('Epochs, or parts of one, over which the rate rises from 0.'),
};

export const floorField = {
  floor: z.number().min(0).max(1).default(0).describe('Share of the learning rate that is kept to the end.'),
};

/** From 1 at the start to 0 at the end, along a cosine. */
export function fall(done: number): number {
  return (1 + Math.cos(Math.PI * Math.min(1, done))) / 2;
}

/**
 * Lets the rate rise in a line over the first steps (Goyal and others, arXiv:1706.02677), and the schedule begin after
 * them.
 */
export function afterWarmup<Options extends { readonly warmup: number }>(
  share: (moment: Moment, options: Options) => number,
): (moment: Moment, options: Options) => number {
  return (moment, options) => {
    const rising = Math.round(options.warmup * moment.stepsPerEpoch);
    if (moment.step < rising) return (moment.step + 1) / rising;
    return share({ ...moment, step: moment.step - rising, steps: moment.steps - rising }, options);
  };
}
