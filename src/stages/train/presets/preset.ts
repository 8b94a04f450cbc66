import type { z } from 'zod';
import type { LayerChoice } from '../layers/index.js';

/** A model that is known by its name. The last layer leaves its units to the data. */
export interface Preset<Options = never> {
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  layers(options: Options): LayerChoice[];
}
