import { z } from 'zod';
import { attr } from '../../../ir/graph.js';
import type { MergingLayer, Site } from './layer.js';
import { showSizes, sizesOf } from './shapes.js';

const none = z.strictObject({});

/** @throws MaasError MAAS_MODEL_SHAPE unless all inputs are of one shape. */
function expectEqual(site: Site, inputs: readonly string[]): void {
  const shapes = inputs.map((x) => showSizes(sizesOf(site, x)));
  const other = shapes.find((shape) => shape !== shapes[0]);
  if (other === undefined) return;
  throw site.misfit(
    `its inputs differ in shape: ${shapes.join(' and ')}`,
    'Bring them to one shape, such as with a conv2d of kernelSize 1, or concatenate them.',
  );
}

function elementwise(
  summary: string,
  merge: (site: Site, inputs: readonly string[]) => string,
): MergingLayer<object> {
  return {
    summary,
    options: none,
    merge(site, inputs) {
      expectEqual(site, inputs);
      return merge(site, inputs);
    },
  };
}

/** Operators of two inputs, applied from left to right. */
const pairwise =
  (op: string) =>
  ({ g, name }: Site, inputs: readonly string[]): string =>
    inputs.reduce((x, y) => g.op(op, [x, y], {}, { name }));

export const add = elementwise('the sum of its inputs', pairwise('Add'));
export const subtract = elementwise('the first input less the others', pairwise('Sub'));
export const multiply = elementwise('the product of its inputs', pairwise('Mul'));
export const average = elementwise('the mean of its inputs', ({ g, name }, inputs) =>
  g.op('Mean', inputs, {}, { name }),
);
export const maximum = elementwise('the greatest of its inputs', ({ g, name }, inputs) =>
  g.op('Max', inputs, {}, { name }),
);
export const minimum = elementwise('the least of its inputs', ({ g, name }, inputs) =>
  g.op('Min', inputs, {}, { name }),
);

const concatenateOptions = z.strictObject({
  axis: z
    .int()
    .optional()
    .describe('Axis of a row, from 1; from the end if negative. Default: channels of images, else the last.'),
});

export const concatenate: MergingLayer<z.output<typeof concatenateOptions>> = {
  summary: 'its inputs side by side',
  options: concatenateOptions,
  merge(site, inputs, { axis }) {
    const shapes = inputs.map((x) => sizesOf(site, x));
    const rank = shapes[0]!.length;
    const at = axis ?? (rank >= 3 ? 1 : rank);
    const from = at < 0 ? rank + at : at - 1;
    if (from < 0 || from >= rank) {
      throw site.misfit(`has no axis ${at}: a row is ${showSizes(shapes[0]!)}`, `Choose 1 to ${rank}.`);
    }
    const rest = shapes.map((shape) => `${shape.length}:${shape.toSpliced(from, 1).join()}`);
    if (new Set(rest).size > 1) {
      throw site.misfit(
        `its inputs ${shapes.map(showSizes).join(' and ')} differ beside axis ${at}`,
        'Bring them to one shape but for the axis that is concatenated.',
      );
    }
    return site.g.op('Concat', inputs, { axis: attr.int(from + 1) }, { name: site.name });
  },
};
