import type { GraphBuilder } from '../../../src/ir/builder.js';
import { attr, type Attributes } from '../../../src/ir/graph.js';
import { tensor } from '../../../src/ir/tensor.js';
import type { GradientCase } from '../gradient-cases.js';

/** Small steps above 0, of numbers anywhere: integers run out for some of them. */
function stepsOf(g: GraphBuilder, x: string): string {
  return g.op('Add', [g.op('Mul', [g.op('Abs', [x]), g.scalar(0.02)]), g.scalar(0.005)]);
}

const range = { uint8: [0, 255], int8: [-128, 127] } as const;

/** Rounded to integers and back, and what is to be differentiated in its place: the line through the step that `base` is on. */
function roundTrip(
  what: string,
  shapes: number[][],
  { dtype, zero, axis }: { dtype: 'uint8' | 'int8'; zero: number | number[]; axis?: number },
): GradientCase {
  const zeros = [zero].flat();
  const dims = Array.isArray(zero) ? [zeros.length] : [];
  const [low, high] = range[dtype];
  return {
    what,
    shapes,
    single: true,
    build(g, [x, s]) {
      const grid = [stepsOf(g, s!), g.constant(tensor(dtype, dims, zeros))];
      const attributes: Attributes = axis === undefined ? {} : { axis: attr.int(axis) };
      return g.ops(
        'DequantizeLinear',
        [g.op('QuantizeLinear', [x!, ...grid], attributes), ...grid],
        attributes,
      );
    },
    surrogate(g, [x, s], [x0, s0]) {
      const spread = (name: string): string => (axis === 0 ? g.op('Unsqueeze', [name, g.int64s([1])]) : name);
      const [step, step0] = [spread(stepsOf(g, s!)), spread(stepsOf(g, s0!))];
      const offset = spread(g.constant(tensor('float32', dims, zeros)));
      const exact = g.op('Div', [x0!, step0]);
      const integer = g.op('Add', [g.op('Round', [exact]), offset]);
      const moved = g.op('Add', [g.op('Div', [x!, step]), g.op('Sub', [integer, exact])]);
      const ends = [g.scalar(low), g.scalar(high)];
      const isInside = g.op('Equal', [integer, g.op('Clip', [integer, ...ends])]);
      const chosen = g.op('Where', [isInside, moved, g.op('Clip', [integer, ...ends])]);
      return g.ops('Mul', [g.op('Sub', [chosen, offset]), step]);
    },
  };
}

export const quantizationCases: Readonly<Record<string, readonly GradientCase[]>> = {
  QuantizeLinear: [
    roundTrip('one scale, from 0 on', [[3, 4], []], { dtype: 'uint8', zero: 0 }),
    roundTrip('one scale, around 0', [[3, 4], []], { dtype: 'uint8', zero: 120 }),
    roundTrip('a scale for each row', [[3, 4], [3]], { dtype: 'int8', zero: [0, 0, 0], axis: 0 }),
    roundTrip('a scale for each column', [[3, 4], [4]], { dtype: 'int8', zero: [0, 3, -20, 0], axis: -1 }),
  ],
  DequantizeLinear: [
    {
      what: 'the scale',
      shapes: [[3]],
      single: true,
      build: (g, [scale]) =>
        g.ops('DequantizeLinear', [g.constant(tensor('int8', [2, 3], [5, -3, 0, 127, -128, 7])), scale!], {
          axis: attr.int(1),
        }),
    },
    {
      what: 'one scale, without a zero point',
      shapes: [[]],
      single: true,
      build: (g, [scale]) =>
        g.ops('DequantizeLinear', [g.constant(tensor('uint8', [2, 3], [5, 3, 0, 127, 128, 7])), scale!]),
    },
  ],
};
