import type { GradientCase } from '../gradient-cases.js';
import { attr, type Attributes } from '../../../src/ir/graph.js';

type Numbers = readonly number[];

/** Attributes from plain lists and numbers; names of modes as strings. */
function attributes(settings: Readonly<Record<string, Numbers | number | string>>): Attributes {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => {
      if (typeof value === 'string') return [name, attr.string(value)];
      return [name, typeof value === 'number' ? attr.int(value) : attr.ints(value)];
    }),
  );
}

const over =
  (op: string) =>
  (
    what: string,
    shapes: readonly Numbers[],
    settings: Readonly<Record<string, Numbers | number | string>> = {},
  ): GradientCase => ({
    what,
    shapes,
    sized: true,
    build: (g, x) => g.ops(op, x, attributes(settings)),
  });

const conv = over('Conv');
const transposed = over('ConvTranspose');
const maximum = over('MaxPool');
const average = over('AveragePool');

export const windowCases: Readonly<Record<string, readonly GradientCase[]>> = {
  Conv: [
    conv('a kernel of 3 × 3 with a bias', [[2, 1, 4, 4], [2, 1, 3, 3], [2]]),
    conv(
      'two channels, padded',
      [
        [2, 2, 3, 3],
        [1, 2, 3, 3],
      ],
      { pads: [1, 1, 1, 1] },
    ),
    conv(
      'uneven padding',
      [
        [1, 1, 3, 4],
        [2, 1, 2, 3],
      ],
      { pads: [1, 0, 0, 2] },
    ),
    conv(
      'a stride that leaves a rest',
      [
        [1, 2, 6, 5],
        [1, 2, 2, 3],
      ],
      { strides: [3, 2] },
    ),
    conv(
      'a stride wider than the kernel',
      [
        [2, 1, 8],
        [2, 1, 2],
      ],
      { strides: [3] },
    ),
    conv(
      'dilated and padded',
      [
        [1, 1, 5, 5],
        [1, 1, 2, 3],
      ],
      { dilations: [2, 2], pads: [0, 1, 1, 2] },
    ),
    conv('strided and dilated', [[1, 1, 9], [2, 1, 3], [2]], { strides: [2], dilations: [3], pads: [1, 0] }),
    conv('of points', [[2, 3, 2, 2], [2, 3, 1, 1], [2]]),
    conv(
      'of points with a stride',
      [
        [2, 2, 3, 3],
        [2, 2, 1, 1],
      ],
      { strides: [2, 2] },
    ),
    conv('many channels', [
      [2, 9, 3],
      [1, 9, 2],
    ]),
    conv('in groups', [[2, 4, 4], [4, 2, 2], [4]], { group: 2, pads: [1, 0] }),
    conv(
      'by depth',
      [
        [2, 3, 5],
        [3, 1, 3],
      ],
      { group: 3, strides: [2], pads: [1, 1] },
    ),
    conv(
      'by depth, twice the channels',
      [
        [1, 2, 3, 3],
        [4, 1, 2, 2],
      ],
      { group: 2 },
    ),
    conv('in three dimensions', [[1, 1, 3, 2, 3], [2, 1, 2, 2, 2], [2]], { pads: [0, 1, 0, 0, 0, 1] }),
    conv(
      'the same size, more after',
      [
        [1, 1, 5, 4],
        [1, 1, 2, 3],
      ],
      {
        auto_pad: 'SAME_UPPER',
        strides: [2, 1],
      },
    ),
    conv(
      'the same size, more before',
      [
        [1, 1, 5, 4],
        [1, 1, 2, 3],
      ],
      {
        auto_pad: 'SAME_LOWER',
        strides: [1, 2],
      },
    ),
    conv(
      'without padding',
      [
        [1, 1, 4],
        [1, 1, 2],
      ],
      { auto_pad: 'VALID' },
    ),
    {
      what: 'a kernel used twice',
      shapes: [
        [2, 2, 4],
        [2, 2, 3],
      ],
      sized: true,
      build: (g, [x, w]) => {
        const pads = attr.ints([1, 1]);
        return g.ops('Conv', [g.op('Conv', [x!, w!], { pads }), w!], { pads });
      },
    },
  ],
  ConvTranspose: [
    transposed('a kernel of 2 × 2 with a bias', [[2, 2, 2, 2], [2, 1, 2, 2], [1]]),
    transposed('strided', [[1, 2, 3], [2, 2, 3], [2]], { strides: [2] }),
    transposed(
      'padded, with more at the end',
      [
        [1, 1, 3, 2],
        [1, 2, 3, 3],
      ],
      {
        strides: [2, 2],
        pads: [1, 1, 0, 1],
        output_padding: [1, 1],
      },
    ),
    transposed(
      'dilated',
      [
        [1, 1, 3],
        [1, 2, 2],
      ],
      { dilations: [2], pads: [1, 0] },
    ),
    transposed('in groups', [[2, 4, 2], [4, 1, 2], [2]], { group: 2, strides: [2] }),
    transposed(
      'by depth',
      [
        [2, 3, 2],
        [3, 1, 3],
      ],
      { group: 3 },
    ),
    transposed(
      'in three dimensions',
      [
        [1, 1, 2, 2, 2],
        [1, 1, 2, 1, 2],
      ],
      { strides: [1, 2, 2] },
    ),
    transposed(
      'the same size',
      [
        [1, 1, 3],
        [1, 1, 3],
      ],
      { auto_pad: 'SAME_UPPER', strides: [2] },
    ),
    transposed(
      'a stated size',
      [
        [1, 1, 3],
        [1, 1, 4],
      ],
      { output_shape: [7], strides: [2] },
    ),
  ],
  MaxPool: [
    maximum('tiles', [[2, 2, 4, 2]], { kernel_shape: [2, 2], strides: [2, 2] }),
    maximum('tiles that leave a rest', [[1, 2, 5, 3]], { kernel_shape: [2, 2], strides: [2, 2] }),
    maximum('tiles in one dimension', [[2, 2, 6]], { kernel_shape: [3], strides: [3] }),
    maximum('tiles in three', [[1, 1, 2, 4, 2]], { kernel_shape: [2, 2, 2], strides: [2, 2, 2] }),
    maximum('overlapping, padded', [[2, 1, 5, 4]], {
      kernel_shape: [3, 3],
      strides: [2, 2],
      pads: [1, 1, 1, 1],
    }),
    maximum('every position', [[2, 2, 4]], { kernel_shape: [2] }),
    maximum('gaps', [[2, 1, 7]], { kernel_shape: [2], strides: [3] }),
    maximum('dilated', [[1, 2, 5, 3]], { kernel_shape: [2, 2], dilations: [2, 1] }),
    maximum('rounded up', [[1, 1, 5, 5]], { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 }),
    maximum('the same size', [[1, 1, 5]], { kernel_shape: [2], strides: [2], auto_pad: 'SAME_UPPER' }),
    {
      what: 'indices read too',
      shapes: [[1, 2, 5]],
      sized: true,
      build: (g, [x]) =>
        g.ops('MaxPool', [x!], attributes({ kernel_shape: [3] }), { outputs: 2 }).slice(0, 1),
    },
  ],
  AveragePool: [
    average('tiles', [[2, 2, 4, 2]], { kernel_shape: [2, 2], strides: [2, 2] }),
    average('overlapping', [[2, 2, 5]], { kernel_shape: [3] }),
    average('padding left out', [[1, 2, 4, 4]], {
      kernel_shape: [3, 2],
      strides: [2, 1],
      pads: [1, 0, 1, 1],
    }),
    average('padding counted', [[1, 2, 4, 4]], {
      kernel_shape: [3, 2],
      strides: [2, 1],
      pads: [1, 0, 1, 1],
      count_include_pad: 1,
    }),
    average('rounded up', [[1, 1, 5, 6]], { kernel_shape: [2, 3], strides: [2, 2], ceil_mode: 1 }),
    average('rounded up, padding counted', [[1, 1, 5, 6]], {
      kernel_shape: [3, 3],
      strides: [2, 2],
      pads: [1, 1, 1, 1],
      ceil_mode: 1,
      count_include_pad: 1,
    }),
    average('the same size', [[1, 1, 5]], { kernel_shape: [2], strides: [2], auto_pad: 'SAME_LOWER' }),
    average('dilated', [[1, 2, 6]], { kernel_shape: [2], dilations: [2] }),
    average('in three dimensions', [[1, 1, 3, 3, 2]], { kernel_shape: [2, 2, 2] }),
  ],
  GlobalAveragePool: [
    { what: 'images', shapes: [[2, 2, 2, 3]], build: (g, x) => g.ops('GlobalAveragePool', x) },
    { what: 'sequences', shapes: [[2, 2, 3]], build: (g, x) => g.ops('GlobalAveragePool', x) },
  ],
  GlobalMaxPool: [
    { what: 'images', shapes: [[2, 2, 2, 3]], build: (g, x) => g.ops('GlobalMaxPool', x) },
    { what: 'volumes', shapes: [[1, 2, 2, 2, 2]], build: (g, x) => g.ops('GlobalMaxPool', x) },
  ],
};
