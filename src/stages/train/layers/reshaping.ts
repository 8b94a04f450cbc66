import { z } from 'zod';
import { attr } from '../../../ir/graph.js';
import { tensor } from '../../../ir/tensor.js';
import type { Layer } from './layer.js';
import { expectRank, showSizes, sizesOf } from './shapes.js';
import { perAxis } from './window.js';

/** [N, …] → [N, elements]. */
export const flatten: Layer<object> = {
  summary: 'all elements of a row, one after another',
  options: z.strictObject({}),
  emit: ({ g, name }, x) => (g.rankOf(x) === 2 ? x : g.op('Flatten', [x], {}, { name })),
};

const reshapeOptions = z.strictObject({
  targetShape: z
    .array(z.union([z.int().min(1), z.literal(-1)]))
    .min(1)
    .refine((sizes) => sizes.filter((size) => size === -1).length <= 1, 'only one size can be -1')
    .describe('Sizes of a row, without the batch: [channels, height, width] for images. -1: what is left.'),
});

export const reshape: Layer<z.output<typeof reshapeOptions>> = {
  summary: 'the elements of a row in another shape',
  options: reshapeOptions,
  emit(site, x, { targetShape }) {
    const sizes = sizesOf(site, x);
    const count = sizes.reduce((product, size) => product * size, 1);
    const known = targetShape.reduce((product, size) => (size === -1 ? product : product * size), 1);
    const fits = targetShape.includes(-1) ? count % known === 0 : count === known;
    if (!fits) {
      throw site.misfit(
        `cannot make ${showSizes(targetShape)} of ${showSizes(sizes)}: ${known} elements are not ${count}`,
        'Write a targetShape whose sizes multiply to what comes before.',
      );
    }
    const target = targetShape.map((size) => (size === -1 ? count / known : size));
    return site.g.op('Reshape', [x, site.g.int64s([0, ...target])], {}, { name: site.name });
  },
};

const permuteOptions = z.strictObject({
  dims: z.array(z.int().min(1)).min(1).describe('The axes of a row in their new order, counted from 1.'),
});

export const permute: Layer<z.output<typeof permuteOptions>> = {
  summary: 'the axes of a row in another order',
  options: permuteOptions,
  emit(site, x, { dims }) {
    const sizes = sizesOf(site, x);
    if (dims.toSorted((a, b) => a - b).join() !== sizes.map((_, axis) => axis + 1).join()) {
      throw site.misfit(
        `dims ${showSizes(dims)} are not the axes of ${showSizes(sizes)}`,
        `Write each of 1 to ${sizes.length} once.`,
      );
    }
    return site.g.op('Transpose', [x], { perm: attr.ints([0, ...dims]) }, { name: site.name });
  },
};

const paddingOptions = z.strictObject({
  padding: z
    .union([
      z.int().min(0),
      z.tuple([z.int().min(0), z.int().min(0)]),
      z.tuple([z.tuple([z.int().min(0), z.int().min(0)]), z.tuple([z.int().min(0), z.int().min(0)])]),
    ])
    .default(1)
    .describe('Zeros around: a number, [height, width], or [[top, bottom], [left, right]].'),
});

export const zeroPadding2d: Layer<z.output<typeof paddingOptions>> = {
  summary: 'zeros around an image',
  options: paddingOptions,
  emit(site, x, { padding }) {
    expectRank(site, x, 3);
    const [height, width] = Array.isArray(padding) ? padding : [padding, padding];
    const [top, bottom] = Array.isArray(height) ? height : [height, height];
    const [left, right] = Array.isArray(width) ? width : [width, width];
    const pads = site.g.int64s([0, 0, top, left, 0, 0, bottom, right]);
    return site.g.op('Pad', [x, pads], {}, { name: site.name });
  },
};

const upSamplingOptions = z.strictObject({
  size: perAxis(2, 'How often each row and column is repeated.').prefault(2),
  interpolation: z
    .enum(['nearest', 'bilinear'])
    .default('nearest')
    .describe('What stands between the pixels.'),
});

export const upSampling2d: Layer<z.output<typeof upSamplingOptions>> = {
  summary: 'a larger image',
  options: upSamplingOptions,
  emit(site, x, { size, interpolation }) {
    const { g, name } = site;
    expectRank(site, x, 3);
    const nearest = interpolation === 'nearest';
    const scales = g.constant(tensor('float32', [4], Float32Array.of(1, 1, ...size)), `${name}.scales`);
    return g.op(
      'Resize',
      [x, '', scales],
      {
        mode: attr.string(nearest ? 'nearest' : 'linear'),
        coordinate_transformation_mode: attr.string(nearest ? 'asymmetric' : 'half_pixel'),
        ...(nearest && { nearest_mode: attr.string('floor') }),
      },
      { name },
    );
  },
};
