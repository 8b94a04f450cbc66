import type { GraphBuilder } from '../../src/ir/builder.js';
import { attr, type Attributes } from '../../src/ir/graph.js';
import { dtypes, tensor } from '../../src/ir/tensor.js';
import { activationCases } from './gradient-cases/activations.js';
import { expansionCases } from './gradient-cases/expansions.js';
import { linearCases } from './gradient-cases/linear.js';
import { normalizationCases } from './gradient-cases/normalize.js';
import { quantizationCases } from './gradient-cases/quantize.js';
import { rearrangementCases } from './gradient-cases/rearrange.js';
import { recurrentCases } from './gradient-cases/recurrent.js';
import { subgraphCases } from './gradient-cases/subgraphs.js';
import { windowCases } from './gradient-cases/windows.js';

/** One use of an operator, small enough for finite differences in every element of every input. */
export interface GradientCase {
  readonly what: string;
  readonly shapes: readonly (readonly number[])[];
  /** Emits the operator on real inputs of these shapes and returns its outputs. */
  build(g: GraphBuilder, x: string[]): string[];
  /** Maps a number in (−2, 2) to where the operator is differentiable. Default: itself. */
  readonly domain?: (value: number) => number;
  /**
   * What a straight-through gradient is the gradient of, where the operator itself changes in steps. `base` is the
   * point at which it is looked at.
   */
  surrogate?(g: GraphBuilder, x: string[], base: string[]): string[];
  /** The rule must know all sizes but the first input's batch, and refuses otherwise. */
  readonly sized?: boolean;
  /** Operator set that has the operator. Default 21. */
  readonly opset?: number;
  /** The operator computes in single precision inside, whatever it is given. */
  readonly single?: boolean;
}

const of =
  (op: string, attributes: Attributes = {}) =>
  (g: GraphBuilder, x: string[]): string[] =>
    g.ops(op, x, attributes);

const positive = (value: number) => Math.abs(value) + 0.2;
/** Steps and kinks at whole numbers stay a good way off. */
const betweenIntegers = (value: number) => Math.floor(value) + 0.2 + 0.6 * (value - Math.floor(value));

const unary = (op: string, attributes: Attributes = {}, domain?: GradientCase['domain']): GradientCase => ({
  what: Object.keys(attributes).join(' ') || 'plain',
  shapes: [[2, 3]],
  build: of(op, attributes),
  ...(domain && { domain }),
});

const broadcasts = (op: string, domain?: GradientCase['domain']): GradientCase[] =>
  (
    [
      [
        'equal shapes',
        [
          [2, 3],
          [2, 3],
        ],
      ],
      ['a bias', [[2, 3], [3]]],
      [
        'a column',
        [
          [2, 1],
          [2, 3],
        ],
      ],
      ['a scalar', [[], [2, 2]]],
      [
        'both ways',
        [
          [2, 1, 2],
          [3, 1],
        ],
      ],
    ] as [string, number[][]][]
  ).map(([what, shapes]) => ({ what, shapes, build: of(op), ...(domain && { domain }) }));

const oneOf = (op: string, domain?: GradientCase['domain']): GradientCase[] => [
  {
    what: 'one input twice',
    shapes: [[2, 2]],
    build: (g, [x]) => g.ops(op, [x!, x!]),
    ...(domain && { domain }),
  },
];

const reductions = (op: string, domain?: GradientCase['domain']): GradientCase[] => {
  const over =
    (axes: number[] | undefined, keepdims: number, input: boolean) =>
    (g: GraphBuilder, [x]: string[]): string[] =>
      input && axes
        ? g.ops(op, [x!, g.int64s(axes)], { keepdims: attr.int(keepdims) })
        : g.ops(op, [x!], { keepdims: attr.int(keepdims), ...(axes && { axes: attr.ints(axes) }) });
  // ReduceSum took its axes as an input from operator set 13 on; all take them so from 18 on.
  return [
    { what: 'all', shapes: [[2, 3]], build: over(undefined, 0, true), ...(domain && { domain }) },
    { what: 'last axis, kept', shapes: [[2, 3]], build: over([-1], 1, true), ...(domain && { domain }) },
    {
      what: 'two axes, dropped',
      shapes: [[2, 2, 3]],
      build: over([2, 0], 0, true),
      ...(domain && { domain }),
    },
  ];
};

const int = (value: number) => attr.int(value);
const float64 = attr.int(dtypes.indexOf('float64') + 1);
const ones = (g: GraphBuilder, values: number[], dims = [values.length]) =>
  g.constant(tensor('int64', dims, values.map(BigInt)));
const truth = (g: GraphBuilder, values: number[], dims: number[]) => g.constant(tensor('bool', dims, values));
/** A constant of the inputs' element type. */
const bound = (g: GraphBuilder, like: string, value: number) => g.scalar(value, g.dtypeOf(like) as 'float32');

/** Checks by operator. A rule without a check fails the test. */
export const gradientCases: Readonly<Record<string, readonly GradientCase[]>> = {
  Add: [...broadcasts('Add'), ...oneOf('Add')],
  Sub: [...broadcasts('Sub'), ...oneOf('Sub')],
  Mul: [...broadcasts('Mul'), ...oneOf('Mul')],
  Div: [...broadcasts('Div', positive), ...oneOf('Div', positive)],
  Pow: [
    ...broadcasts('Pow', positive),
    ...oneOf('Pow', positive),
    ...[0, 1, 2, 3, -1].map((power) => ({
      what: `exponent ${power}`,
      shapes: [[2, 2]],
      build: (g: GraphBuilder, [x]: string[]) => g.ops('Pow', [x!, bound(g, x!, power)]),
      domain: power < 0 ? positive : (value: number) => value,
    })),
    {
      what: 'integer exponents',
      shapes: [[2, 3]],
      build: (g, [x]) => g.ops('Pow', [x!, ones(g, [0, 2, 3])]),
    },
  ],
  Sum: [{ what: 'three', shapes: [[2, 3], [3], [2, 1]], build: of('Sum') }],
  Mean: [{ what: 'three', shapes: [[2, 3], [3], [2, 1]], build: of('Mean') }],
  Max: [...broadcasts('Max'), { what: 'three', shapes: [[2, 3], [3], [2, 1]], build: of('Max') }],
  Min: [...broadcasts('Min'), { what: 'three', shapes: [[2, 3], [3], [2, 1]], build: of('Min') }],

  Identity: [unary('Identity')],
  Neg: [unary('Neg')],
  Abs: [unary('Abs')],
  Exp: [unary('Exp')],
  Log: [unary('Log', {}, positive)],
  Sqrt: [unary('Sqrt', {}, positive)],
  Reciprocal: [unary('Reciprocal', {}, positive)],
  Sin: [unary('Sin')],
  Cos: [unary('Cos')],
  Erf: [unary('Erf')],
  Sign: [unary('Sign')],
  Floor: [unary('Floor', {}, betweenIntegers)],
  Ceil: [unary('Ceil', {}, betweenIntegers)],
  Round: [unary('Round', {}, (value) => betweenIntegers(value) + 0.5)],

  Relu: [unary('Relu')],
  LeakyRelu: [unary('LeakyRelu'), unary('LeakyRelu', { alpha: attr.float(0.3) })],
  PRelu: [
    { what: 'slope per column', shapes: [[2, 3], [3]], build: of('PRelu') },
    { what: 'one slope', shapes: [[2, 3], [1]], build: of('PRelu') },
  ],
  Elu: [unary('Elu'), unary('Elu', { alpha: attr.float(0.5) })],
  Selu: [unary('Selu'), unary('Selu', { alpha: attr.float(1.5), gamma: attr.float(1.25) })],
  Sigmoid: [unary('Sigmoid')],
  HardSigmoid: [
    unary('HardSigmoid'),
    unary(
      'HardSigmoid',
      { alpha: attr.float(0.5), beta: attr.float(0.25) },
      (value) => betweenIntegers(value) - 0.5,
    ),
  ],
  Tanh: [unary('Tanh')],
  Softplus: [unary('Softplus')],
  Softsign: [unary('Softsign')],
  Gelu: [unary('Gelu'), unary('Gelu', { approximate: attr.string('tanh') })],

  Clip: [
    {
      what: 'both bounds',
      shapes: [[3, 4]],
      build: (g, [x]) => g.ops('Clip', [x!, bound(g, x!, -0.5), bound(g, x!, 1)]),
      domain: (value) => betweenIntegers(2 * value) / 2,
    },
    {
      what: 'upper bound only',
      shapes: [[3, 4]],
      build: (g, [x]) => g.ops('Clip', [x!, '', bound(g, x!, 1)]),
      domain: betweenIntegers,
    },
    { what: 'no bounds', shapes: [[2, 2]], build: of('Clip') },
    { what: 'bounds that are trained', shapes: [[3, 2], [], []], build: of('Clip') },
  ],
  Where: [
    {
      what: 'broadcast',
      shapes: [[2, 3], [3]],
      build: (g, [a, b]) => g.ops('Where', [truth(g, [1, 0, 0, 1, 1, 0], [2, 3]), a!, b!]),
    },
    {
      what: 'condition wider than both',
      shapes: [[3], [1]],
      build: (g, [a, b]) => g.ops('Where', [truth(g, [1, 0, 0, 1, 1, 0], [2, 3]), a!, b!]),
    },
  ],
  Cast: [{ what: 'to double', shapes: [[2, 3]], build: of('Cast', { to: float64 }) }],
  CastLike: [
    {
      what: 'to double',
      shapes: [[2, 3]],
      build: (g, [x]) => g.ops('CastLike', [x!, g.scalar(0, 'float64')]),
    },
  ],
  Dropout: [{ what: 'inference', shapes: [[2, 3]], build: of('Dropout') }],

  ReduceSum: reductions('ReduceSum'),
  ReduceMean: reductions('ReduceMean'),
  ReduceMax: reductions('ReduceMax'),
  ReduceMin: reductions('ReduceMin'),
  ReduceSumSquare: reductions('ReduceSumSquare'),
  ReduceL1: reductions('ReduceL1'),
  ReduceL2: reductions('ReduceL2'),
  ReduceLogSumExp: reductions('ReduceLogSumExp'),
  Softmax: [unary('Softmax'), unary('Softmax', { axis: int(0) })],
  LogSoftmax: [unary('LogSoftmax'), unary('LogSoftmax', { axis: int(0) })],

  Reshape: [
    { what: 'to a vector', shapes: [[2, 3]], build: (g, [x]) => g.ops('Reshape', [x!, g.int64s([-1])]) },
    {
      what: 'with a kept axis',
      shapes: [[2, 2, 3]],
      build: (g, [x]) => g.ops('Reshape', [x!, g.int64s([0, -1])]),
    },
  ],
  Flatten: [
    { what: 'rows', shapes: [[2, 2, 2]], build: of('Flatten') },
    { what: 'axis 2', shapes: [[2, 2, 2]], build: of('Flatten', { axis: int(2) }) },
  ],
  Squeeze: [
    { what: 'one axis', shapes: [[2, 1, 3]], build: (g, [x]) => g.ops('Squeeze', [x!, g.int64s([1])]) },
  ],
  Unsqueeze: [
    { what: 'two axes', shapes: [[2, 3]], build: (g, [x]) => g.ops('Unsqueeze', [x!, g.int64s([0, -1])]) },
  ],
  Expand: [
    { what: 'a row', shapes: [[1, 3]], build: (g, [x]) => g.ops('Expand', [x!, g.int64s([2, 2, 1])]) },
    { what: 'a scalar', shapes: [[]], build: (g, [x]) => g.ops('Expand', [x!, g.int64s([2, 2])]) },
  ],
  Transpose: [
    unary('Transpose'),
    { what: 'a cycle', shapes: [[2, 3, 2]], build: of('Transpose', { perm: attr.ints([2, 0, 1]) }) },
  ],
  Concat: [
    {
      what: 'columns',
      shapes: [
        [2, 1],
        [2, 3],
      ],
      build: of('Concat', { axis: int(-1) }),
    },
    {
      what: 'rows',
      shapes: [
        [2, 2],
        [1, 2],
        [2, 2],
      ],
      build: of('Concat', { axis: int(0) }),
    },
    { what: 'itself', shapes: [[2, 2]], build: (g, [x]) => g.ops('Concat', [x!, x!], { axis: int(1) }) },
  ],
  Split: [
    {
      what: 'stated sizes',
      shapes: [[2, 4]],
      build: (g, [x]) => g.ops('Split', [x!, g.int64s([1, 3])], { axis: int(1) }, { outputs: 2 }),
    },
    {
      what: 'one part unused',
      shapes: [[2, 4]],
      build: (g, [x]) =>
        g.ops('Split', [x!, g.int64s([1, 2, 1])], { axis: int(1) }, { outputs: 3 }).slice(1, 2),
    },
  ],
  Slice: [
    {
      what: 'a window',
      shapes: [[2, 5]],
      build: (g, [x]) => g.ops('Slice', [x!, g.int64s([1]), g.int64s([-1]), g.int64s([1])]),
    },
    {
      what: 'ends beyond the axis',
      shapes: [[3, 3]],
      build: (g, [x]) => g.ops('Slice', [x!, g.int64s([-2, 0]), g.int64s([2 ** 31, 2])]),
    },
    {
      what: 'every second, backwards',
      shapes: [[2, 5]],
      build: (g, [x]) => g.ops('Slice', [x!, g.int64s([-1]), g.int64s([-9]), g.int64s([1]), g.int64s([-2])]),
    },
    {
      what: 'a range computed at run time',
      shapes: [[4, 2]],
      build: (g, [x]) => {
        const half = g.op('Div', [g.op('Shape', [g.op('Abs', [x!])]), g.int64s([2, 1])]);
        return g.ops('Slice', [x!, g.int64s([0, 1]), half]);
      },
    },
  ],
  Gather: [
    { what: 'rows', shapes: [[4, 2]], build: (g, [x]) => g.ops('Gather', [x!, ones(g, [3, 0, 3, -1])]) },
    {
      what: 'rows of a long table',
      shapes: [[300, 2]],
      build: (g, [x]) => g.ops('Gather', [x!, ones(g, [299, 0, 299, -1, 7, -300])]),
    },
    {
      what: 'columns',
      shapes: [[2, 3, 2]],
      build: (g, [x]) => g.ops('Gather', [x!, ones(g, [2, 0, 2, 1], [2, 2])], { axis: int(1) }),
    },
    {
      what: 'one element',
      shapes: [[3]],
      build: (g, [x]) => g.ops('Gather', [x!, g.constant(tensor('int64', [], [1n]))]),
    },
  ],
  GatherElements: [
    {
      what: 'one of each row',
      shapes: [[3, 3]],
      build: (g, [x]) => g.ops('GatherElements', [x!, ones(g, [2, 0, 2], [3, 1])], { axis: int(1) }),
    },
    {
      what: 'one element often',
      shapes: [[2, 3]],
      build: (g, [x]) =>
        g.ops('GatherElements', [x!, ones(g, [0, 0, 0, 1, 1, -1], [2, 3])], { axis: int(0) }),
    },
  ],
  ...linearCases,
  ...windowCases,
  ...normalizationCases,
  ...activationCases,
  ...rearrangementCases,
  ...recurrentCases,
  ...subgraphCases,
  ...expansionCases,
  ...quantizationCases,
};
