import { z } from 'zod';
import type { ConfigPath } from '../../../config/index.js';
import { MaasError, type Place } from '../../../errors.js';
import { layers, type LayerChoice } from '../layers/index.js';
import { layerSchema } from '../layers/list-schema.js';
import { autoencoder } from './autoencoder.js';
import { cnn } from './cnn.js';
import { lstm } from './lstm.js';
import { mlp } from './mlp.js';
import { mobilenet } from './mobilenet.js';
import type { Preset, PresetSite } from './preset.js';
import { resnet } from './resnet.js';
import { transformer } from './transformer.js';

/** Models by name, for `train.model.preset`. */
export const presets = { mlp, cnn, resnet, mobilenet, lstm, transformer, autoencoder } as const;

/** A preset by its name, its options checked. */
export interface PresetChoice {
  readonly name: keyof typeof presets;
  readonly options: unknown;
}

/** Where a preset is written. */
export const pathOf = ({ name }: PresetChoice): ConfigPath => ['train', 'model', 'preset', name];

/**
 * The layers that a preset stands for.
 * @param row What the first layer gets, and what is asked of the last.
 * @throws MaasError MAAS_MODEL_SHAPE when the data, or its options, do not fit.
 */
export function layersOf(
  choice: PresetChoice,
  row: Omit<PresetSite, 'misfit'>,
  place: (path: ConfigPath) => Place,
): LayerChoice[] {
  const path = pathOf(choice);
  const misfit = (message: string, hint: string, key?: string): MaasError =>
    new MaasError('MAAS_MODEL_SHAPE', `${path.join('.')} ${message}`, {
      place: place(key === undefined ? path : [...path, key]),
      hint,
    });
  // The options were checked against this very preset's schema.
  const written = (presets[choice.name] as Preset<unknown>).layers(choice.options, { ...row, misfit });
  return z.array(layerSchema(() => layers)).parse(written);
}
