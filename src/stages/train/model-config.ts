import { z } from 'zod';
import { named } from '../../config/named.js';
import type { FeatureGroups } from './feature-groups.js';
import { fileKeys, fineTuneKeys, sourceOf, type FileKey, type FineTuneOptions } from './fine-tune/config.js';
import type { DenseOptions } from './layers/dense.js';
import { layers, type LayerChoice } from './layers/index.js';
import { layerSchema, sourceName } from './layers/list-schema.js';
import { presets, type PresetChoice } from './presets/index.js';

const layerList = z
  .array(layerSchema(() => layers))
  .min(1, 'expected at least one layer')
  .check((context) => {
    const list = context.value;
    const report = (index: number, message: string): void => {
      context.issues.push({ code: 'custom', input: list, path: [index], message });
    };
    const last = findHead(list);
    if (last === undefined && list.length > 0) {
      report(
        list.length - 1,
        'the last layer must be dense: it gives one output for each class, or the amount',
      );
    }
    list.forEach(({ name, options }, index) => {
      if (name !== 'dense' || (options as DenseOptions).units !== 'auto' || index === last) return;
      report(index, 'only the last layer can leave its units to the data: say how many this one has');
    });
  });

/** Index of the dense layer that gives the model's outputs; only an activation may follow it. */
export function findHead(list: readonly LayerChoice[]): number | undefined {
  const index = list.at(-1)?.name === 'activation' ? list.length - 2 : list.length - 1;
  return list[index]?.name === 'dense' ? index : undefined;
}

/** `train.model`: one of several ways to say what is trained. */
export interface ModelOptions extends Partial<FineTuneOptions> {
  readonly layers?: readonly LayerChoice[];
  readonly preset?: PresetChoice;
  readonly inputs?: FeatureGroups;
}

/** Models that are described in words of the config. */
export const describedFields = {
  layers: layerList.optional().describe('Layers from the inputs to the outputs.'),
  preset: (named(presets, 'preset') as z.ZodType<PresetChoice>)
    .optional()
    .describe('A model by its name: mlp, or {mlp: {units: [64, 64]}}.'),
};

/** One of them. */
export type Described = Pick<ModelOptions, 'layers' | 'preset'>;

const sources = ['layers', 'preset', ...(Object.keys(fileKeys) as FileKey[])] as const;

export const modelSchema: z.ZodType<ModelOptions> = z
  .strictObject({
    layers: describedFields.layers,
    inputs: z
      .record(
        sourceName,
        z
          .union([z.string().min(1), z.array(z.string().min(1)).min(1, 'expected at least one feature')])
          .transform((value): readonly string[] => (Array.isArray(value) ? value : [value])),
      )
      .optional()
      .describe(
        'Inputs of the layers, each made of the features that it lists; * in a name stands for any text. A layer reads one by inputs: NAME. Of a model from a file: which features each of its inputs takes, where their names differ.',
      ),
    preset: describedFields.preset,
    ...fileKeys,
    ...fineTuneKeys,
  })
  .check((context) => {
    const given = context.value;
    const report = (path: string[], message: string): void => {
      context.issues.push({ code: 'custom', input: given, path, message });
    };
    const [source, ...others] = sources.filter((key) => given[key] !== undefined);
    if (source === undefined) report([], `expected one of: ${sources.join(', ')}`);
    for (const other of others)
      report([other], `a model comes from one place: remove ${source}, or ${other}`);
    if (source === 'preset' && given.inputs !== undefined)
      report(['inputs'], 'inputs are for models from layers or from a file, not from preset');
    if (source === undefined || sourceOf(given)) return;
    for (const key of Object.keys(fineTuneKeys) as (keyof typeof fineTuneKeys)[]) {
      if (given[key] !== undefined)
        report(
          [key],
          `${key} is for models from a file (${Object.keys(fileKeys).join(', ')}), not from ${source}`,
        );
    }
  })
  .describe(
    'What is trained. Scaling of numbers, look-up of categories and label names are added by themselves.',
  );
