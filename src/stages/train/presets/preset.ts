import { z } from 'zod';
import type { MaasError } from '../../../errors.js';

/** What the layers of a preset have to fit. */
export interface PresetSite {
  /** Sizes of one row: [features], or [channels, height, width] where the data has images. */
  readonly sizes: readonly number[];
  /** Whether a row is ids [steps], not numbers. */
  readonly isIds: boolean;
  /** Whether the last layer is to give back what the first one gets. */
  readonly reconstructs: boolean;
  /** Whether each step predicts the one after it, so that no step may see what comes later. */
  readonly isNext: boolean;
  /** The error for data and options that do not fit, at the preset's place in the config, or at that of its option `key`. */
  readonly misfit: (message: string, hint: string, key?: string) => MaasError;
}

/** A layer as `train.model.layers` has it: its name, or its name with its options. */
export type LayerConfig = string | Readonly<Record<string, object | string>>;

/** A model that is known by its name. The last layer leaves its units to the data. */
export interface Preset<Options = never> {
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  layers(options: Options, site: PresetSite): readonly LayerConfig[];
}

/** Option of presets that leave outputs out in training. */
export const dropoutRate = (initial: number, where: string) =>
  z.number().min(0).lt(1).default(initial).describe(`Share of outputs left out in training ${where}.`);

export const dropoutOf = (rate: number): LayerConfig[] => (rate > 0 ? [{ dropout: { rate } }] : []);
