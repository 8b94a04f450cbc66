import { z } from 'zod';
import { attr, type Attributes } from '../../../ir/graph.js';
import type { Site } from './layer.js';

/** A size for each axis that a kernel goes over; one number stands for all of them. */
export const perAxis = (rank: number, description: string) =>
  z
    .union([z.int().min(1), z.array(z.int().min(1)).length(rank)], {
      error: `expected a whole number of 1 or more, or a list of ${rank}`,
    })
    .transform((value): readonly number[] => (Array.isArray(value) ? value : Array<number>(rank).fill(value)))
    .meta({ description });

export const padding = z
  .enum(['valid', 'same'])
  .describe(
    'valid: the kernel stays inside. same: as many positions as the input has, divided by the strides.',
  );

export interface WindowOptions {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: 'valid' | 'same';
}

/**
 * Attributes of a Conv or a pool whose kernel goes over axes of these sizes.
 * @throws MaasError MAAS_MODEL_SHAPE when the kernel is larger than the input.
 */
export function windowAttributes(
  site: Site,
  sizes: readonly number[],
  { kernel, strides, dilations, padding }: WindowOptions,
): Attributes {
  const reach = kernel.map((size, axis) => dilations[axis]! * (size - 1) + 1);
  if (padding === 'valid' && reach.some((size, axis) => size > sizes[axis]!)) {
    throw site.misfit(
      `its kernel reaches over ${reach.join(' × ')}, its input has ${sizes.join(' × ')}`,
      'Make the kernel smaller, pool less before it, or write padding: same.',
    );
  }
  const total = sizes.map((size, axis) =>
    padding === 'valid'
      ? 0
      : Math.max((Math.ceil(size / strides[axis]!) - 1) * strides[axis]! + reach[axis]! - size, 0),
  );
  const before = total.map((missing) => Math.floor(missing / 2));
  const after = total.map((missing, axis) => missing - before[axis]!);
  return {
    kernel_shape: attr.ints(kernel),
    strides: attr.ints(strides),
    pads: attr.ints([...before, ...after]),
    ...(dilations.some((rate) => rate > 1) && { dilations: attr.ints(dilations) }),
  };
}
