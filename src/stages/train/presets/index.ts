import type { LayerChoice } from '../layers/index.js';
import { mlp } from './mlp.js';
import type { Preset } from './preset.js';

/** Models by name, for `train.model.preset`. */
export const presets = { mlp } as const;

/** A preset by its name, its options checked. */
export interface PresetChoice {
  readonly name: keyof typeof presets;
  readonly options: unknown;
}

/** The layers that a preset stands for. */
export function layersOf({ name, options }: PresetChoice): LayerChoice[] {
  // The options were checked against this very preset's schema.
  return (presets[name] as Preset<unknown>).layers(options);
}
