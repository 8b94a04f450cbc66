import { numberAttribute, type Dim } from '../graph.js';
import { dtypes, type DType } from '../tensor.js';
import { broadcast, typed, type ShapeRule, type ShapeRules, type Site } from './rule.js';

/** TensorProto.DataType numbers count from 1 in the order of `dtypes`. */
export function dtypeAttribute(site: Site, name: string, otherwise: DType | undefined): DType | undefined {
  const number = numberAttribute(site.node, name, 0);
  return number === 0 ? otherwise : dtypes[number - 1];
}

/** Output like the first input. */
export const same: ShapeRule = (site) => [site.input(0)];

const sameAs =
  (dtype: DType): ShapeRule =>
  (site) =>
    typed(dtype, site.shape(0));

function broadcastAll(site: Site): Dim[] | undefined {
  return broadcast(
    site.node.inputs.map((_, index) => site.shape(index)),
    (axis) => `${site.fresh(0)}${axis}`,
  );
}

const broadcasting: ShapeRule = (site) => typed(site.dtype(0), broadcastAll(site));
const comparing: ShapeRule = (site) => typed('bool', broadcastAll(site));

/** Arithmetic that also follows sizes, for the shape computations that exporters write out. */
const arithmetic =
  (compute: (a: number, b: number) => number, identity?: number): ShapeRule =>
  (site) => {
    const [a, b] = [site.elements(0), site.elements(1)];
    const shape = broadcastAll(site);
    if (!a || !b || !shape || (a.length !== b.length && a.length !== 1 && b.length !== 1)) {
      return typed(site.dtype(0), shape);
    }
    const elements = Array.from({ length: Math.max(a.length, b.length) }, (_, index): Dim => {
      const [left, right] = [a[a.length === 1 ? 0 : index]!, b[b.length === 1 ? 0 : index]!];
      if (typeof left === 'number' && typeof right === 'number') return compute(left, right);
      return right === identity ? left : `${site.fresh(0)}e${index}`;
    });
    return typed(site.dtype(0), shape, elements);
  };

const everyUnary = [
  ...[
    'Abs',
    'Acos',
    'Acosh',
    'Asin',
    'Asinh',
    'Atan',
    'Atanh',
    'BitwiseNot',
    'Ceil',
    'Celu',
    'Clip',
    'Cos',
    'Cosh',
  ],
  ...[
    'CumSum',
    'Elu',
    'Erf',
    'Exp',
    'Floor',
    'Gelu',
    'HardSigmoid',
    'HardSwish',
    'Hardmax',
    'Identity',
    'LeakyRelu',
  ],
  ...['Log', 'LogSoftmax', 'LpNormalization', 'LRN', 'Mish', 'Neg', 'Not', 'Reciprocal', 'Relu', 'Round'],
  ...[
    'Selu',
    'Shrink',
    'Sigmoid',
    'Sign',
    'Sin',
    'Sinh',
    'Softmax',
    'Softplus',
    'Softsign',
    'Sqrt',
    'Swish',
    'Tan',
    'Tanh',
  ],
  ...[
    'ThresholdedRelu',
    'Trilu',
    'ScatterElements',
    'ScatterND',
    'InstanceNormalization',
    'GroupNormalization',
  ],
];

const everyBroadcasting = [
  'BitShift',
  'BitwiseAnd',
  'BitwiseOr',
  'BitwiseXor',
  'Max',
  'Mean',
  'Min',
  'Mod',
  'Pow',
  'PRelu',
  'Sum',
];
const everyComparison = ['And', 'Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'Or', 'Xor'];

export const elementwise: ShapeRules = {
  ...Object.fromEntries(everyUnary.map((op) => [op, same])),
  ...Object.fromEntries(everyBroadcasting.map((op) => [op, broadcasting])),
  ...Object.fromEntries(everyComparison.map((op) => [op, comparing])),
  'com.microsoft:Gelu': same,
  'com.microsoft:FastGelu': same,
  'com.microsoft:QuickGelu': same,
  IsNaN: sameAs('bool'),
  IsInf: sameAs('bool'),
  Add: arithmetic((a, b) => a + b, 0),
  Sub: arithmetic((a, b) => a - b, 0),
  Mul: arithmetic((a, b) => a * b, 1),
  Div: arithmetic((a, b) => Math.trunc(a / b), 1),
  Where: (site) => typed(site.dtype(1) ?? site.dtype(2), broadcastAll(site)),
  Cast: (site) => {
    const dtype = dtypeAttribute(site, 'to', undefined);
    return typed(dtype, site.shape(0), dtype?.startsWith('int') ? site.elements(0) : undefined);
  },
  CastLike: (site) => typed(site.dtype(1), site.shape(0)),
  Dropout: (site) => [site.input(0), ...typed('bool', site.shape(0))],
  BatchNormalization: (site) => [site.input(0), site.input(3), site.input(4)],
  LayerNormalization: (site) => {
    const [dtype, shape] = [site.dtype(0), site.shape(0)];
    const axis = numberAttribute(site.node, 'axis', -1);
    const first = shape && (axis < 0 ? axis + shape.length : axis);
    const statistics = shape?.map((dim, index) => (index >= first! ? 1 : dim));
    const stash = dtypeAttribute(site, 'stash_type', 'float32');
    return [site.input(0), ...typed(dtype && stash, statistics), ...typed(dtype && stash, statistics)];
  },
  RMSNormalization: same,
  RandomNormalLike: (site) => typed(dtypeAttribute(site, 'dtype', site.dtype(0)), site.shape(0)),
  RandomUniformLike: (site) => typed(dtypeAttribute(site, 'dtype', site.dtype(0)), site.shape(0)),
  EyeLike: (site) => typed(dtypeAttribute(site, 'dtype', site.dtype(0)), site.shape(0)),
};
