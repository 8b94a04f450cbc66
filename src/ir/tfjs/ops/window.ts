import { numberAttribute, numbersAttribute, stringAttribute, type Node } from '../../graph.js';
import type { Tensor, Tf } from '../tf.js';
import { first, unsupported, type Call, type Op, type Ops } from './op.js';

type Pair = readonly [number, number];

/** Sizes, steps and margins of a window over one or two axes; one is taken for the second of two. */
interface Window {
  readonly size: Pair;
  readonly strides: Pair;
  readonly dilations: Pair;
  /** Before and after, along each axis. */
  readonly pads: readonly [Pair, Pair];
}

/** ONNX has channels before the places, TensorFlow's kernels for the CPU after them. */
const toLast = (tf: Tf, x: Tensor) => tf.transpose(x, [0, 2, 3, 1]);
const toFirst = (tf: Tf, x: Tensor) => tf.transpose(x, [0, 3, 1, 2]);

/** [N, C, W] → [N, C, 1, W]. */
const widen = (tf: Tf, x: Tensor) => (x.rank === 3 ? tf.expandDims(x, 2) : x);
const narrow = (tf: Tf, x: Tensor, rank: number) =>
  rank === 3 ? tf.reshape(x, [x.shape[0]!, x.shape[1]!, x.shape[3]!]) : x;

function windowOf(node: Node, size: readonly number[], sizes: readonly number[]): Window {
  const axes = size.length;
  if (axes > 2) throw unsupported(node, `it has ${axes} axes`);
  const pair = (values: readonly number[], otherwise: number): Pair =>
    axes === 1 ? [otherwise, values[0]!] : [values[0]!, values[1]!];
  const ones = size.map(() => 1);
  const strides = numbersAttribute(node, 'strides') ?? ones;
  const dilations = numbersAttribute(node, 'dilations') ?? ones;
  const stated = numbersAttribute(node, 'pads') ?? [...ones, ...ones].map(() => 0);
  const auto = stringAttribute(node, 'auto_pad', 'NOTSET');
  const margins = size.map((span, axis): Pair => {
    if (auto === 'NOTSET') return [stated[axis]!, stated[axis + axes]!];
    if (auto === 'VALID') return [0, 0];
    const [given, stride] = [sizes[axis]!, strides[axis]!];
    const reach = (span - 1) * dilations[axis]! + 1;
    const whole = Math.max(0, (Math.ceil(given / stride) - 1) * stride + reach - given);
    const less = Math.floor(whole / 2);
    return auto === 'SAME_UPPER' ? [less, whole - less] : [whole - less, less];
  });
  return {
    size: pair(size, 1),
    strides: pair(strides, 1),
    dilations: pair(dilations, 1),
    pads: axes === 1 ? [[0, 0], margins[0]!] : [margins[0]!, margins[1]!],
  };
}

/** @param x [N, H, W, C] */
function margin(tf: Tf, x: Tensor, pads: Window['pads'], value = 0): Tensor {
  return pads.flat().every((one) => one === 0) ? x : tf.pad(x, [[0, 0], ...pads, [0, 0]], value);
}

const conv: Op = (call) => {
  const {
    tf,
    node,
    inputs: [given, kernel, bias],
  } = call;
  const group = numberAttribute(node, 'group', 1);
  const { strides, dilations, pads } = windowOf(node, kernel!.shape.slice(2), given!.shape.slice(2));
  if (call.slopes && dilations.some((one) => one > 1))
    throw unsupported(node, 'it has no slope of dilated windows');
  if (dilations.some((one) => one > 1) && strides.some((one) => one > 1))
    throw unsupported(node, 'its window is dilated and strided');
  const x = margin(tf, toLast(tf, widen(tf, given!)), pads);
  // [O, C / group, H, W]
  const weights = widen(tf, kernel!);
  const [outputs, each] = weights.shape as [number, number];
  const channels = x.shape[3]!;
  const y = ((): Tensor => {
    if (group === 1) {
      return tf.conv2d(x, tf.transpose(weights, [2, 3, 1, 0]), strides, 'valid', 'NHWC', dilations);
    }
    if (each === 1) {
      // [H, W, C, O / C]
      const [high, wide] = weights.shape.slice(2) as [number, number];
      const filter = tf.reshape(tf.transpose(weights, [2, 3, 0, 1]), [
        high,
        wide,
        channels,
        outputs / channels,
      ]);
      return tf.depthwiseConv2d(x, filter, strides, 'valid', 'NHWC', dilations);
    }
    const parts = tf.split(
      x,
      Array.from({ length: group }, () => each),
      3,
    );
    const kernels = tf.split(
      weights,
      parts.map(() => outputs / group),
      0,
    );
    const made = parts.map((part, at) =>
      tf.conv2d(part, tf.transpose(kernels[at]!, [2, 3, 1, 0]), strides, 'valid', 'NHWC', dilations),
    );
    return tf.concat(made, 3);
  })();
  return narrow(tf, toFirst(tf, bias ? tf.add(y, bias) : y), given!.rank);
};

const convTranspose: Op = ({ tf, node, inputs: [given, kernel, bias] }) => {
  if (numberAttribute(node, 'group', 1) !== 1) throw unsupported(node, 'it works in groups');
  if (stringAttribute(node, 'auto_pad', 'NOTSET') !== 'NOTSET' || node.attributes['output_shape'])
    throw unsupported(node, 'its margins are not stated');
  const { size, strides, dilations, pads } = windowOf(node, kernel!.shape.slice(2), given!.shape.slice(2));
  if (dilations.some((one) => one > 1)) throw unsupported(node, 'its window has gaps');
  const x = toLast(tf, widen(tf, given!));
  // [C, O, H, W] → [H, W, O, C]
  const weights = tf.transpose(widen(tf, kernel!), [2, 3, 1, 0]);
  const stated = numbersAttribute(node, 'output_padding') ?? [0, 0];
  const more = stated.length === 1 ? [0, stated[0]!] : stated;
  const whole = [0, 1].map((axis) => (x.shape[axis + 1]! - 1) * strides[axis]! + size[axis]!);
  const shape = [x.shape[0]!, whole[0]!, whole[1]!, weights.shape[2]!];
  const full = tf.conv2dTranspose(x, weights, shape, strides, 'valid');
  const reach = tf.pad(full, [
    [0, 0],
    [0, more[0]!],
    [0, more[1]!],
    [0, 0],
  ]);
  const cut = tf.slice(
    reach,
    [0, pads[0][0], pads[1][0], 0],
    [
      x.shape[0]!,
      ...[0, 1].map((axis) => reach.shape[axis + 1]! - pads[axis]![0] - pads[axis]![1]),
      shape[3]!,
    ],
  );
  return narrow(tf, toFirst(tf, bias ? tf.add(cut, bias) : cut), given!.rank);
};

/** What the last window lacks when sizes are rounded up. */
function roundUp({ size, strides, dilations, pads }: Window, sizes: readonly number[]): Window['pads'] {
  const [high, wide] = pads.map(([before, after], axis): Pair => {
    const given = (sizes.length === 1 ? [1, sizes[0]!] : sizes)[axis]!;
    const reach = (size[axis]! - 1) * dilations[axis]! + 1;
    const steps = Math.ceil((given + before + after - reach) / strides[axis]!);
    return [before, Math.max(after, steps * strides[axis]! + reach - given - before)];
  });
  return [high!, wide!];
}

const pool =
  (apply: (call: Call, x: Tensor, window: Window) => Tensor): Op =>
  (call) => {
    const { tf, node } = call;
    const given = first(call);
    if (node.outputs.slice(1).some((name) => name !== ''))
      throw unsupported(node, 'its indices are an output');
    const sizes = given.shape.slice(2);
    const stated = windowOf(node, numbersAttribute(node, 'kernel_shape')!, sizes);
    if (stated.dilations.some((one) => one > 1)) throw unsupported(node, 'its window has gaps');
    const up = numberAttribute(node, 'ceil_mode', 0) === 1;
    const window = up ? { ...stated, pads: roundUp(stated, sizes) } : stated;
    return narrow(tf, toFirst(tf, apply(call, toLast(tf, widen(tf, given)), window)), given.rank);
  };

const lowest = -3.4e38;

export const window: Ops = {
  AveragePool: pool(({ tf, node }, x, { size, strides, pads }) => {
    const mean = (values: Tensor) => tf.avgPool(margin(tf, values, pads), size, strides, 'valid');
    if (numberAttribute(node, 'ceil_mode', 0) === 1 && numberAttribute(node, 'count_include_pad', 0) === 1) {
      throw unsupported(node, 'it rounds up and counts its margins');
    }
    const isPadded = pads.flat().some((one) => one > 0);
    if (!isPadded || numberAttribute(node, 'count_include_pad', 0) === 1) return mean(x);
    return tf.div(mean(x), mean(tf.onesLike(x)));
  }),
  Conv: conv,
  ConvTranspose: convTranspose,
  GlobalAveragePool: (call) => call.tf.mean(first(call), placesOf(call), true),
  GlobalMaxPool: (call) => call.tf.max(first(call), placesOf(call), true),
  MaxPool: pool(({ tf }, x, { size, strides, pads }) =>
    tf.maxPool(margin(tf, x, pads, lowest), size, strides, 'valid'),
  ),
};

/** All axes but those of rows and channels. */
function placesOf(call: Call): number[] {
  return first(call)
    .shape.map((_, axis) => axis)
    .slice(2);
}
