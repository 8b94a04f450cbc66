import { sizeOf } from '../tensor.js';
import * as fold from './folding.js';
import { set, type AttrValue } from './graph-def.js';
import { areSizes, isOpen, OpenValueError, type Recorder, type Traced } from './recorder.js';
import type { DataType, Tensor, Tf } from './tf.js';

type Operand = Tensor | number;
type Pair = readonly [number, number];
type Attr = Readonly<Record<string, AttrValue>>;

const unaryNames = {
  ...{ abs: 'Abs', ceil: 'Ceil', cos: 'Cos', elu: 'Elu', erf: 'Erf', exp: 'Exp', floor: 'Floor', log: 'Log' },
  ...{ logicalNot: 'LogicalNot', neg: 'Neg', reciprocal: 'Reciprocal', relu: 'Relu', round: 'Round' },
  ...{ rsqrt: 'Rsqrt', selu: 'Selu', sigmoid: 'Sigmoid', sign: 'Sign', sin: 'Sin', softplus: 'Softplus' },
  ...{ sqrt: 'Sqrt', square: 'Square', tanh: 'Tanh', zerosLike: 'ZerosLike', onesLike: 'OnesLike' },
} as const;
const testNames = { isFinite: 'IsFinite', isInf: 'IsInf', isNaN: 'IsNan' } as const;
const binaryNames = {
  ...{ add: 'AddV2', div: 'RealDiv', maximum: 'Maximum', minimum: 'Minimum', mod: 'FloorMod', mul: 'Mul' },
  ...{ pow: 'Pow', prelu: 'Prelu', sub: 'Sub' },
} as const;
const comparisonNames = {
  ...{
    equal: 'Equal',
    greater: 'Greater',
    greaterEqual: 'GreaterEqual',
    less: 'Less',
    lessEqual: 'LessEqual',
  },
  ...{ logicalAnd: 'LogicalAnd', logicalOr: 'LogicalOr' },
} as const;
const reductionNames = { max: 'Max', mean: 'Mean', min: 'Min', prod: 'Prod', sum: 'Sum' } as const;

const allAxes = (x: Tensor): readonly number[] => x.shape.map((_, axis) => axis);

const wider: readonly DataType[] = ['bool', 'int32', 'float32'];
const equal = (a: readonly number[], b: readonly number[]) =>
  a.length === b.length && a.every((one, at) => one === b[at]);

/** The functions of TensorFlow.js, which here compute nothing, but write down what is to be computed. */
export function traceTf(r: Recorder): Tf {
  const along = <Key extends string, Fn>(
    names: Readonly<Record<Key, string>>,
    make: (op: string) => Fn,
  ): Record<Key, Fn> =>
    Object.fromEntries(Object.entries<string>(names).map(([key, op]) => [key, make(op)])) as Record<Key, Fn>;

  /** One number after another: the order of the axes does not matter. */
  function each(op: string, x: Traced, dtype: DataType, attr: Attr = {}): Traced {
    const known = x.dtype === 'float32' && dtype === 'float32' ? fold.unary[op] : undefined;
    if (known && x.values) return r.constant(Float32Array.from(x.values, known), x.shape, dtype);
    if (x.turned) return r.turn(each(op, x.turned.from, dtype, attr), x.turned.order);
    return r.node(op, [x], x.shape, dtype, { T: set.type(x.dtype), ...attr });
  }

  function cast(x: Traced, dtype: DataType): Traced {
    if (x.dtype === dtype) return x;
    if (x.values && !areSizes(x.values)) return r.constant(fold.convert(x.values, dtype), x.shape, dtype);
    if (x.turned) return r.turn(cast(x.turned.from, dtype), x.turned.order);
    return r.node('Cast', [x], x.shape, dtype, { SrcT: set.type(x.dtype), DstT: set.type(dtype) });
  }

  function reshape(x: Traced, stated: readonly number[]): Traced {
    const size = sizeOf(x.shape);
    const rest = stated.reduce((product, one) => (one === -1 ? product : product * one), 1);
    const shape = stated.map((one) => (one === -1 ? size / rest : one));
    if (sizeOf(shape) !== size || !shape.every(Number.isInteger)) throw new OpenValueError();
    if (equal(shape, x.shape)) return x;
    if (x.values) return r.constant(x.values, shape, x.dtype);
    // One open size goes without saying.
    const isSimple = shape.filter(isOpen).length === 1;
    const sizes = isSimple ? shape.map((one) => (isOpen(one) ? -1 : one)) : shape;
    return r.node('Reshape', [x, r.ints(sizes)], shape, x.dtype, { T: set.type(x.dtype) });
  }

  /** Both of one type; numbers take that of the other operand. */
  function matched(a: Operand, b: Operand): [Traced, Traced] {
    if (typeof a === 'number') return [r.scalar(a, (b as Traced).dtype), b as Traced];
    if (typeof b === 'number') return [a as Traced, r.scalar(b, a.dtype)];
    const dtype = wider[Math.max(wider.indexOf(a.dtype), wider.indexOf(b.dtype))]!;
    return [cast(a as Traced, dtype), cast(b as Traced, dtype)];
  }

  /** An operand as it was before its axes were put in this order, if it can be had so. */
  function before(x: Traced, order: readonly number[]): Traced | undefined {
    if (x.turned) return equal(x.turned.order, order) ? x.turned.from : undefined;
    if (sizeOf(x.shape) === 1 && x.rank <= order.length) return x.rank === 0 ? x : reshape(x, []);
    if (!x.values || x.rank > order.length) return undefined;
    const full = reshape(x, [...Array.from({ length: order.length - x.rank }, () => 1), ...x.shape]);
    return r.turn(
      full,
      order.map((_, axis) => order.indexOf(axis)),
    );
  }

  /** The operands as they were before they were turned, all in the same way. */
  function unturned(operands: readonly Traced[]): { parts: Traced[]; order: readonly number[] } | undefined {
    const order = operands.find(({ turned }) => turned)?.turned?.order;
    if (!order) return undefined;
    const parts = operands.map((one) => before(one, order));
    return parts.every((part) => part !== undefined) ? { parts, order } : undefined;
  }

  function combine(op: string, [left, right]: [Traced, Traced], dtype: DataType): Traced {
    const shape = broadcast(left.shape, right.shape);
    // What is repeated by the operation itself need not be repeated before.
    const a = left.spread && equal(broadcast(left.spread.shape, right.shape), shape) ? left.spread : left;
    const b = right.spread && equal(broadcast(a.shape, right.spread.shape), shape) ? right.spread : right;
    if (a.values && b.values && isFoldable(op, dtype, a.values, b.values)) {
      const [one, two] = [a, b].map(({ values, shape: own }) => fold.spread(values!, dtype, own, shape));
      return r.constant(
        one!.map((value, at) => fold.binary[op]!(value, two![at]!)),
        shape,
        dtype,
      );
    }
    const plain = unturned([a, b]);
    if (plain) return r.turn(combine(op, plain.parts as [Traced, Traced], dtype), plain.order);
    return r.node(op, [a, b], shape, dtype, { T: set.type(a.dtype) });
  }

  function concat(parts: readonly Traced[], axis: number): Traced {
    const shape = parts[0]!.shape.map((size, at) =>
      at === axis ? parts.reduce((sum, part) => sum + part.shape[axis]!, 0) : size,
    );
    if (shape.length === 1 && parts.every(({ values }) => values)) {
      const all = fold.allocate(parts[0]!.dtype, shape[0]!);
      parts.reduce((from, { values }) => (all.set(values!, from), from + values!.length), 0);
      return r.constant(all, shape, parts[0]!.dtype);
    }
    const plain = unturned(parts);
    if (plain?.parts.every(({ rank }) => rank === shape.length))
      return r.turn(concat(plain.parts, plain.order[axis]!), plain.order);
    const attr = { N: set.int(parts.length), T: set.type(parts[0]!.dtype) };
    return r.node('ConcatV2', [...parts, r.scalar(axis, 'int32')], shape, parts[0]!.dtype, attr);
  }

  function slice(x: Traced, begin: readonly number[], size: readonly number[]): Traced {
    if (equal(size, x.shape)) return x;
    if (x.values) return r.constant(fold.cut(x.values, x.dtype, x.shape, begin, size), size, x.dtype);
    if (x.turned) {
      const { from, order } = x.turned;
      const inner = (list: readonly number[]) => from.shape.map((_, axis) => list[order.indexOf(axis)]!);
      return r.turn(slice(from, inner(begin), inner(size)), order);
    }
    // −1 is all that is left of an axis.
    const sizes = size.map((one, axis) => (begin[axis] === 0 && one === x.shape[axis] ? -1 : one));
    return r.node('Slice', [x, r.ints(begin), r.ints(sizes)], size, x.dtype, { T: set.type(x.dtype) });
  }

  function split(x: Traced, sizes: readonly number[], axis: number): Traced[] {
    const starts = sizes.map((_, at) => sizes.slice(0, at).reduce((sum, one) => sum + one, 0));
    return sizes.map((size, at) =>
      slice(
        x,
        x.shape.map((_, other) => (other === axis ? starts[at]! : 0)),
        x.shape.map((whole, other) => (other === axis ? size : whole)),
      ),
    );
  }

  function pad(x: Traced, pairs: readonly Pair[], value: number): Traced {
    if (pairs.flat().every((one) => one === 0)) return x;
    if (x.turned) {
      const { from, order } = x.turned;
      return r.turn(
        pad(
          from,
          from.shape.map((_, axis) => pairs[order.indexOf(axis)]!),
          value,
        ),
        order,
      );
    }
    const shape = x.shape.map((size, axis) => size + pairs[axis]![0] + pairs[axis]![1]);
    const margins = r.constant(Int32Array.from(pairs.flat()), [x.rank, 2], 'int32');
    return r.node('PadV2', [x, margins, r.scalar(value, x.dtype)], shape, x.dtype, { T: set.type(x.dtype) });
  }

  function reduce(op: string, x: Traced, axes: readonly number[], keepDims: boolean): Traced {
    if (x.turned && keepDims) {
      const { from, order } = x.turned;
      return r.turn(
        reduce(
          op,
          from,
          axes.map((axis) => order[axis]!),
          true,
        ),
        order,
      );
    }
    const shape = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
    const left = keepDims ? shape : x.shape.filter((_, axis) => !axes.includes(axis));
    return r.node(op, [x, r.ints(axes)], left, x.dtype, {
      T: set.type(x.dtype),
      keep_dims: set.flag(keepDims),
    });
  }

  function broadcastTo(x: Traced, shape: readonly number[]): Traced {
    return equal(x.shape, shape) ? x : r.spread(x, shape);
  }

  /** Places of a window that goes over [N, H, W, C] without margins. */
  function places(x: Traced, size: Pair, strides: Pair, dilations: Pair): [number, number] {
    const [high, wide] = [0, 1].map((axis) => {
      const whole = x.shape[axis + 1]!;
      if (isOpen(whole)) throw new OpenValueError();
      return Math.floor((whole - (size[axis]! - 1) * dilations[axis]! - 1) / strides[axis]!) + 1;
    });
    return [high!, wide!];
  }

  const windowAttr = (strides: Pair, more: Attr): Attr => ({
    T: set.type('float32'),
    strides: set.ints([1, ...strides, 1]),
    padding: set.text('VALID'),
    data_format: set.text('NHWC'),
    ...more,
  });

  const pool = (op: string) => (x: Tensor, size: Pair, strides: Pair) => {
    const [high, wide] = places(x as Traced, size, strides, [1, 1]);
    const attr = windowAttr(strides, { ksize: set.ints([1, ...size, 1]) });
    return r.node(op, [x as Traced], [x.shape[0]!, high, wide, x.shape[3]!], 'float32', attr);
  };

  const lastAxis = (op: string) => (x: Tensor) =>
    r.node(op, [x as Traced], x.shape, 'float32', { T: set.type('float32') });

  const tf: Tf = {
    ...along(unaryNames, (op) => (x: Tensor) => each(op, x as Traced, x.dtype)),
    ...along(testNames, (op) => (x: Tensor) => each(op, x as Traced, 'bool')),
    ...along(binaryNames, (op) => (a: Operand, b: Operand) => {
      const both = matched(a, b);
      return combine(op, both, both[0].dtype);
    }),
    ...along(comparisonNames, (op) => (a: Operand, b: Operand) => combine(op, matched(a, b), 'bool')),
    ...along(
      reductionNames,
      (op) =>
        (x: Tensor, axes = allAxes(x), keepDims = false) =>
          reduce(op, x as Traced, axes, keepDims),
    ),
    keep: (x) => x,
    clone: (x) => x,
    tidy: (work) => work(),
    logicalXor: (a, b) => tf.logicalAnd(tf.logicalOr(a, b), tf.logicalNot(tf.logicalAnd(a, b))),
    logSumExp(x, axes = allAxes(x), keepDims = false) {
      const most = tf.max(x, axes, true);
      const whole = tf.add(tf.log(tf.sum(tf.exp(tf.sub(x, most)), axes, true)), most);
      return keepDims
        ? whole
        : tf.reshape(
            whole,
            x.shape.filter((_, axis) => !axes.includes(axis)),
          );
    },
    argMax(x, axis) {
      const shape = x.shape.filter((_, other) => other !== axis);
      const attr = { T: set.type(x.dtype), output_type: set.type('int32') };
      return r.node('ArgMax', [x as Traced, r.scalar(axis, 'int32')], shape, 'int32', attr);
    },
    broadcastTo: (x, shape) => broadcastTo(x as Traced, shape),
    cast: (x, dtype) => cast(x as Traced, dtype),
    clipByValue(x, min, max) {
      const raised = min === -Infinity ? x : tf.maximum(x, min);
      return max === Infinity ? raised : tf.minimum(raised, max);
    },
    concat: (parts, axis) => concat(parts as readonly Traced[], axis),
    conv2d(x, filter, strides, _pad, _format, dilations) {
      const [high, wide] = places(x as Traced, [filter.shape[0]!, filter.shape[1]!], strides, dilations);
      const attr = windowAttr(strides, { dilations: set.ints([1, ...dilations, 1]) });
      const shape = [x.shape[0]!, high, wide, filter.shape[3]!];
      return r.node('Conv2D', [x as Traced, filter as Traced], shape, 'float32', attr);
    },
    conv2dTranspose(x, filter, outputShape, strides) {
      const inputs = [r.ints(outputShape), filter as Traced, x as Traced];
      return r.node('Conv2DBackpropInput', inputs, outputShape, 'float32', windowAttr(strides, {}));
    },
    depthwiseConv2d(x, filter, strides, _pad, _format, dilations) {
      const [high, wide] = places(x as Traced, [filter.shape[0]!, filter.shape[1]!], strides, dilations);
      const attr = windowAttr(strides, { dilations: set.ints([1, ...dilations, 1]) });
      const shape = [x.shape[0]!, high, wide, filter.shape[2]! * filter.shape[3]!];
      return r.node('DepthwiseConv2dNative', [x as Traced, filter as Traced], shape, 'float32', attr);
    },
    expandDims: (x, axis) => reshape(x as Traced, [...x.shape.slice(0, axis), 1, ...x.shape.slice(axis)]),
    fill(shape, value, dtype = 'float32') {
      const one = r.scalar(value, dtype);
      return shape.length === 0 ? one : broadcastTo(one, shape);
    },
    gather(x, indices, axis) {
      const { values } = x as Traced;
      const at = (indices as Traced).values;
      if (values && at && x.rank === 1)
        return r.constant(fold.pick(values, x.dtype, at), indices.shape, x.dtype);
      const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
      const attr = { Tparams: set.type(x.dtype), batch_dims: set.int(0) };
      return r.node(
        'GatherV2',
        [x as Traced, indices as Traced, r.scalar(axis, 'int32')],
        shape,
        x.dtype,
        attr,
      );
    },
    image: {
      resizeBilinear(x, size, alignCorners, halfPixelCenters) {
        const shape = [x.shape[0]!, ...size, x.shape[3]!];
        const attr = {
          T: set.type(x.dtype),
          align_corners: set.flag(alignCorners),
          half_pixel_centers: set.flag(halfPixelCenters),
        };
        return r.node('ResizeBilinear', [x as Traced, r.ints(size)], shape, 'float32', attr);
      },
    },
    leakyRelu: (x, alpha) => each('LeakyRelu', x as Traced, 'float32', { alpha: set.float(alpha) }),
    logSoftmax: lastAxis('LogSoftmax'),
    matMul(a, b, transposeA = false, transposeB = false) {
      const [high, deep] = transposeA
        ? [a.shape.at(-1)!, a.shape.at(-2)!]
        : [a.shape.at(-2)!, a.shape.at(-1)!];
      const [wide, inner] = transposeB
        ? [b.shape.at(-2)!, b.shape.at(-1)!]
        : [b.shape.at(-1)!, b.shape.at(-2)!];
      if (deep !== inner) throw new OpenValueError();
      const isFlat = a.rank === 2;
      const attr: Attr = isFlat
        ? { transpose_a: set.flag(transposeA), transpose_b: set.flag(transposeB) }
        : { adj_x: set.flag(transposeA), adj_y: set.flag(transposeB) };
      const shape = [...a.shape.slice(0, -2), high, wide];
      const inputs = [a as Traced, b as Traced];
      return r.node(isFlat ? 'MatMul' : 'BatchMatMulV2', inputs, shape, 'float32', {
        T: set.type('float32'),
        ...attr,
      });
    },
    maxPool: pool('MaxPool'),
    avgPool: pool('AvgPool'),
    oneHot(x, depth) {
      const inputs = [x as Traced, r.scalar(depth, 'int32'), r.scalar(1, 'int32'), r.scalar(0, 'int32')];
      return r.node('OneHot', inputs, [...x.shape, depth], 'int32', {
        axis: set.int(-1),
        T: set.type('int32'),
      });
    },
    pad: (x, sizes, value = 0) => pad(x as Traced, sizes, value),
    reshape: (x, shape) => reshape(x as Traced, shape),
    slice: (x, begin, size) => slice(x as Traced, begin, size),
    softmax: lastAxis('Softmax'),
    split: (x, sizes, axis) => split(x as Traced, sizes, axis),
    stack(parts, axis) {
      const [first] = parts as readonly [Traced, ...Traced[]];
      if (parts.length === 1) return tf.expandDims(first, axis);
      const shape = [...first.shape.slice(0, axis), parts.length, ...first.shape.slice(axis)];
      const attr = { N: set.int(parts.length), T: set.type(first.dtype), axis: set.int(axis) };
      return r.node('Pack', parts as readonly Traced[], shape, first.dtype, attr);
    },
    tensor: (data, shape, dtype) => r.constant(data, shape, dtype),
    tile(x, repeats) {
      const shape = x.shape.map((size, axis) => size * repeats[axis]!);
      return r.node('Tile', [x as Traced, r.ints(repeats)], shape, x.dtype, { T: set.type(x.dtype) });
    },
    transpose: (x, order = x.shape.map((_, axis) => x.rank - 1 - axis)) => r.turn(x as Traced, order),
    where(condition, a, b) {
      const [left, right] = matched(a, b);
      const shape = broadcast(condition.shape, broadcast(left.shape, right.shape));
      return r.node('SelectV2', [condition as Traced, left, right], shape, left.dtype, {
        T: set.type(left.dtype),
      });
    },
    valueAndGrads() {
      throw new TypeError('what is written down has no slopes');
    },
  };
  return tf;
}

/** Of whole numbers only what they have in common with reals; a product of an open size stays one, a sum does not. */
function isFoldable(op: string, dtype: DataType, a: fold.Values, b: fold.Values): boolean {
  if (!(op in fold.binary) || dtype === 'bool') return false;
  if (dtype === 'float32') return true;
  return op === 'Mul' || (op !== 'RealDiv' && !areSizes(a) && !areSizes(b));
}

/** Sizes of two values that repeat along axes of size 1. */
function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, at) => {
    const [one, two] = [a, b].map((shape) => shape[at - rank + shape.length] ?? 1);
    if (one === 1) return two!;
    if (two === 1 || one === two) return one!;
    throw new OpenValueError();
  });
}
