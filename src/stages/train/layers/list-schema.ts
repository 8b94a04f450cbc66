import { z } from 'zod';
import { named, parseInside, type NamedDefinition } from '../../../config/named.js';
import type { LayerChoice } from './layer.js';
import type { ResidualOptions } from './residual.js';
import type { TimeDistributedOptions } from './wrappers.js';

type Definitions = () => Readonly<Record<string, NamedDefinition>>;

/** How a layer is bound into a graph that is more than a chain. */
export interface Wiring {
  readonly name?: string;
  readonly inputs?: readonly string[];
}

/** A name by which layers read a value. */
export const sourceName = z
  .string()
  .regex(/^[A-Za-z]\w*$/, 'expected letters, digits and _, a letter first')
  .refine((name) => name !== 'features', '"features" names what the first layer gets');

const wiring = {
  name: sourceName.optional().describe('Name by which later layers may read its output.'),
  inputs: z
    .union([z.string(), z.array(z.string()).min(1)])
    .transform((value): readonly string[] => (Array.isArray(value) ? value : [value]))
    .optional()
    .describe(
      'Names of the layers, or of train.model.inputs, that it reads; features is what the first layer gets. Default: the layer before it.',
    ),
};

/** Schema of one layer: its own options, and how it is bound in. */
export function layerSchema(definitions: Definitions): z.ZodType<LayerChoice> {
  const wired = Object.entries(definitions()).map(([name, { summary, options }]) => [
    name,
    { summary, options: options instanceof z.ZodObject ? options.extend(wiring) : options },
  ]);
  return named(Object.fromEntries(wired) as Record<string, NamedDefinition>, 'layer');
}

/** Options of a layer that is made of layers. Its lists are read when they are there: a layer may hold its own kind. */
export function residualSchema(definitions: Definitions): z.ZodType<ResidualOptions> {
  let layer: z.ZodType<LayerChoice> | undefined;
  const list = (least: number, description: string) =>
    z
      .unknown()
      .transform((value, context): readonly LayerChoice[] => {
        layer ??= layerSchema(definitions);
        return parseInside(z.array(layer).min(least, 'expected at least one layer'), value, context);
      })
      .meta({ type: 'array', items: { $ref: layerReference }, description });
  return z.strictObject({
    layers: list(1, 'What is added to the input.'),
    shortcut: list(0, 'What the input goes through before it is added, where the shape changes.').prefault(
      [],
    ),
  });
}

/** Options of a layer that wraps another. */
export function timeDistributedSchema(definitions: Definitions): z.ZodType<TimeDistributedOptions> {
  let layer: z.ZodType<LayerChoice> | undefined;
  const one = z
    .unknown()
    .transform((value, context): LayerChoice => {
      layer ??= layerSchema(definitions);
      return parseInside(layer, value, context);
    })
    .meta({ $ref: layerReference, description: 'What each step goes through.' });
  return z.strictObject({ layer: one });
}

/** Where the JSON Schema of the config describes a layer. */
const layerReference = '#/properties/train/properties/model/properties/layers/items';
