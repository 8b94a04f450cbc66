import { z } from 'zod';
import { exampleShape, showSizes } from '../layers/shapes.js';
import type { LayerConfig, PresetSite } from './preset.js';

const size = z.int().min(1);

export const imageShape = z
  .tuple([size, size, size])
  .optional()
  .describe('[channels, height, width] that the numbers of a row make, for data that has no images itself.');

export const sequenceShape = z
  .tuple([size, size])
  .optional()
  .describe('[steps, features] that the numbers of a row make, for data that has no sequences itself.');

const kinds = {
  images: { rank: 3, axes: '[channels, height, width]' },
  sequences: { rank: 2, axes: '[steps, features]' },
} as const;

/** A row, sequence or ids, as steps of so many numbers. Of a sequence that is left to `project`. */
export function embedSteps(
  site: PresetSite,
  shape: readonly number[] | undefined,
  units: number,
  project: readonly LayerConfig[],
): readonly LayerConfig[] {
  if (!site.isIds) return [...shapeRow(site, 'sequences', shape).layers, ...project];
  if (shape !== undefined)
    throw site.misfit('has a shape, a row of the data is ids', 'Remove shape.', 'shape');
  return [{ embedding: { outputDim: units } }];
}

/** A row as the preset wants it, and what makes it so. */
export interface ShapedRow {
  readonly sizes: readonly number[];
  readonly layers: readonly LayerConfig[];
}

/**
 * The numbers of a row as an image or a sequence of this shape; rows that are one already stay as they are.
 * @throws MaasError MAAS_MODEL_SHAPE
 */
export function shapeRow(
  { sizes, isIds, misfit }: PresetSite,
  kind: keyof typeof kinds,
  shape: readonly number[] | undefined,
): ShapedRow {
  const { rank, axes } = kinds[kind];
  if (isIds) {
    throw misfit(`takes ${kind} ${axes}, a row of the data is ids`, 'Use the preset lstm or transformer.');
  }
  if (sizes.length === rank) {
    if (shape === undefined || showSizes(shape) === showSizes(sizes)) return { sizes, layers: [] };
    throw misfit(
      `has the shape ${showSizes(shape)}, the ${kind} of the data are ${showSizes(sizes)}`,
      'Remove shape.',
      'shape',
    );
  }
  if (sizes.length !== 1) {
    throw misfit(
      `takes ${kind} ${axes}, a row of the data is ${showSizes(sizes)}`,
      `Use data of ${kind}, or another preset.`,
    );
  }
  const count = sizes[0]!;
  const example = `shape: ${showSizes(exampleShape(rank, count))}`;
  if (shape === undefined) {
    throw misfit(
      `takes ${kind} ${axes}, a row of the data is ${count} ${count === 1 ? 'number' : 'numbers'}`,
      `Say what they make, such as ${example}.`,
    );
  }
  const wanted = shape.reduce((product, each) => product * each, 1);
  if (wanted !== count) {
    throw misfit(
      `has the shape ${showSizes(shape)}: ${wanted} numbers, a row of the data has ${count}`,
      `Write sizes that multiply to ${count}, such as ${example}.`,
      'shape',
    );
  }
  return { sizes: shape, layers: [{ reshape: { targetShape: shape } }] };
}
