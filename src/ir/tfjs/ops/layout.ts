import { numberAttribute, numbersAttribute, stringAttribute } from '../../graph.js';
import { numbersOf } from '../../tensor.js';
import type { Tensor, Tf } from '../tf.js';
import { first, fromFront, unsupported, type Call, type Op, type Ops } from './op.js';

const axesOf = ({ node, numbers }: Call): number[] | undefined =>
  numbersAttribute(node, 'axes') ?? numbers(1);

/** Sizes for Reshape: 0 takes over the axis, −1 what is left (TensorFlow.js knows that). */
const reshape: Op = (call) => {
  const x = first(call);
  const keepZero = numberAttribute(call.node, 'allowzero', 0) === 1;
  return call.tf.reshape(
    x,
    call.numbers(1)!.map((size, axis) => (size === 0 && !keepZero ? x.shape[axis]! : size)),
  );
};

/** Rows by index; negative ones count from the end. */
function gather(tf: Tf, x: Tensor, indices: Tensor, axis: number): Tensor {
  const size = x.shape[axis]!;
  const whole = tf.cast(indices, 'int32');
  const from = tf.add(
    whole,
    tf.mul(tf.cast(tf.less(whole, tf.zerosLike(whole)), 'int32'), tf.fill([], size, 'int32')),
  );
  return tf.gather(x, from, axis);
}

/** Parts along axes. A step other than 1 picks by index: TensorFlow.js knows no slope of its strided slices. */
const slice: Op = (call) => {
  const { tf, numbers } = call;
  let x = first(call);
  const starts = numbers(1)!;
  const axes = numbers(3) ?? starts.map((_, axis) => axis);
  axes.forEach((stated, at) => {
    const axis = fromFront(stated, x.rank);
    const size = x.shape[axis]!;
    const step = numbers(4)?.[at] ?? 1;
    const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
    const place = (index: number) => Math.min(Math.max(index < 0 ? index + size : index, low), high);
    const [start, end] = [place(starts[at]!), place(numbers(2)![at]!)];
    const count = Math.max(0, Math.ceil((end - start) / step));
    if (step === 1) {
      const begin = x.shape.map((_, other) => (other === axis ? start : 0));
      x = tf.slice(
        x,
        begin,
        x.shape.map((whole, other) => (other === axis ? count : whole)),
      );
    } else {
      const indices = Int32Array.from({ length: count }, (_, index) => start + index * step);
      x = tf.gather(x, tf.tensor(indices, [count], 'int32'), axis);
    }
  });
  return x;
};

const oneHot: Op = ({ tf, node, inputs: [indices, , values], numbers }) => {
  const depth = numbers(1)![0]!;
  const axis = numberAttribute(node, 'axis', -1);
  const [off, on] = [tf.slice(values!, [0], [1]), tf.slice(values!, [1], [1])];
  const hot = tf.cast(tf.oneHot(tf.cast(indices!, 'int32'), depth), values!.dtype);
  const filled = tf.add(tf.mul(hot, tf.sub(on, off)), off);
  if (fromFront(axis, filled.rank) === filled.rank - 1) return filled;
  const order = indices!.shape.map((_, at) => at);
  order.splice(fromFront(axis, filled.rank), 0, filled.rank - 1);
  return tf.transpose(filled, order);
};

const pad: Op = (call) => {
  const x = first(call);
  const mode = stringAttribute(call.node, 'mode', 'constant');
  if (mode !== 'constant') throw unsupported(call.node, `mode ${mode}`);
  const sizes = call.numbers(1)!;
  const axes = call.numbers(3)?.map((axis) => fromFront(axis, x.rank)) ?? x.shape.map((_, axis) => axis);
  const pairs = x.shape.map((_, axis): [number, number] => {
    const at = axes.indexOf(axis);
    return at < 0 ? [0, 0] : [sizes[at]!, sizes[at + axes.length]!];
  });
  const cut = call.tf.slice(
    x,
    pairs.map(([before]) => Math.max(0, -before)),
    x.shape.map((size, axis) => size + Math.min(0, pairs[axis]![0]) + Math.min(0, pairs[axis]![1])),
  );
  const value = call.inputs[2]?.dataSync()[0] ?? 0;
  return call.tf.pad(
    cut,
    pairs.map(([before, after]) => [Math.max(0, before), Math.max(0, after)]),
    value,
  );
};

/** Sizes that broadcast with those of the input. */
const expand: Op = (call) => {
  const x = first(call);
  const stated = call.numbers(1)!;
  const rank = Math.max(stated.length, x.rank);
  const sizes = Array.from({ length: rank }, (_, at) =>
    Math.max(stated[at - rank + stated.length] ?? 1, x.shape[at - rank + x.rank] ?? 1),
  );
  return call.tf.broadcastTo(x, sizes);
};

const split: Op = (call) => {
  const x = first(call);
  const axis = fromFront(numberAttribute(call.node, 'axis', 0), x.rank);
  const count = call.node.outputs.length;
  const each = Math.ceil(x.shape[axis]! / count);
  const even = Array.from({ length: count }, (_, at) => Math.min(each, x.shape[axis]! - at * each));
  return call.tf.split(x, numbersAttribute(call.node, 'split') ?? call.numbers(1) ?? even, axis);
};

/** How pixels lie on one another: with corners aligned, with half pixels. */
const coordinates: Readonly<Record<string, readonly [boolean, boolean]>> = {
  asymmetric: [false, false],
  align_corners: [true, false],
  half_pixel: [false, true],
};

/** Nearest neighbour by whole factors, as UpSampling has it, or images bilinearly. */
const resize: Op = (call) => {
  const { tf, node } = call;
  const x = first(call);
  const sizes = call.numbers(3);
  const scales = sizes ? sizes.map((size, axis) => size / x.shape[axis]!) : [...call.inputs[2]!.dataSync()];
  const mode = stringAttribute(node, 'mode', 'nearest');
  const lying = coordinates[stringAttribute(node, 'coordinate_transformation_mode', 'half_pixel')];
  const isWhole = scales.every((scale, axis) => Math.abs(((scale * x.shape[axis]!) % 1) - 0.5) > 0.499);
  const isSmoothed = numberAttribute(node, 'antialias', 0) === 1;
  if (
    mode === 'linear' &&
    lying &&
    isWhole &&
    !isSmoothed &&
    x.rank === 4 &&
    scales[0] === 1 &&
    scales[1] === 1
  ) {
    const [high, wide] = [2, 3].map((axis) => sizes?.[axis] ?? Math.floor(x.shape[axis]! * scales[axis]!));
    // Measured: along half pixels TensorFlow.js' own slope is another one.
    if (call.slopes && lying[1]) throw unsupported(node, 'its slope along half pixels is wrong');
    const image = tf.transpose(x, [0, 2, 3, 1]);
    return tf.transpose(tf.image.resizeBilinear(image, [high!, wide!], ...lying), [0, 3, 1, 2]);
  }
  if (mode !== 'nearest' || !scales.every((scale) => Number.isInteger(scale) && scale >= 1)) {
    throw unsupported(node, `mode ${mode} with factors ${scales.join(', ')}`);
  }
  return scales.reduce((whole, factor, axis) => {
    if (factor === 1) return whole;
    const places = Int32Array.from({ length: whole.shape[axis]! * factor }, (_, at) =>
      Math.floor(at / factor),
    );
    return tf.gather(whole, tf.tensor(places, [places.length], 'int32'), axis);
  }, x);
};

/** Channels → places: blocks of `size` × `size` (DepthToSpace), and back. */
const depthToSpace: Op = (call) => {
  const { tf, node } = call;
  const x = first(call);
  const size = numberAttribute(node, 'blocksize', 1);
  const [rows, channels, high, wide] = x.shape as [number, number, number, number];
  const depth = channels / size ** 2;
  const isColumnFirst = stringAttribute(node, 'mode', 'DCR') === 'CRD';
  const apart = isColumnFirst ? [depth, size, size] : [size, size, depth];
  const blocks = tf.reshape(x, [rows, ...apart, high, wide]);
  const order = isColumnFirst ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2];
  return tf.reshape(tf.transpose(blocks, order), [rows, depth, high * size, wide * size]);
};

const spaceToDepth: Op = (call) => {
  const { tf, node } = call;
  const x = first(call);
  const size = numberAttribute(node, 'blocksize', 1);
  const [rows, channels, high, wide] = x.shape as [number, number, number, number];
  const blocks = tf.reshape(x, [rows, channels, high / size, size, wide / size, size]);
  const order = [0, 3, 5, 1, 2, 4];
  return tf.reshape(tf.transpose(blocks, order), [rows, channels * size ** 2, high / size, wide / size]);
};

export const layout: Ops = {
  Concat: (call) => {
    const parts = call.inputs as readonly Tensor[];
    return parts.length === 1
      ? call.tf.clone(parts[0]!)
      : call.tf.concat(parts, fromFront(numberAttribute(call.node, 'axis', 0), parts[0]!.rank));
  },
  Constant({ tf, node }) {
    const value = node.attributes['value'];
    if (value?.type !== 'tensor') throw unsupported(node, 'its value is no tensor');
    const numbers = numbersOf(value.value);
    const isReal = ['float32', 'float64', 'float16'].includes(value.value.dtype);
    return isReal
      ? tf.tensor(Float32Array.from(numbers), value.value.dims, 'float32')
      : tf.tensor(Int32Array.from(numbers), value.value.dims, 'int32');
  },
  ConstantOfShape({ tf, node, numbers }) {
    const value = node.attributes['value'];
    const tensor = value?.type === 'tensor' ? value.value : undefined;
    const isReal = tensor === undefined || tensor.dtype.startsWith('float');
    return tf.fill(numbers(0)!, tensor ? numbersOf(tensor)[0]! : 0, isReal ? 'float32' : 'int32');
  },
  DepthToSpace: depthToSpace,
  Expand: expand,
  Flatten(call) {
    const x = first(call);
    const axis = fromFront(numberAttribute(call.node, 'axis', 1), x.rank);
    const size = (sizes: readonly number[]) => sizes.reduce((product, one) => product * one, 1);
    return call.tf.reshape(x, [size(x.shape.slice(0, axis)), size(x.shape.slice(axis))]);
  },
  Gather: ({ tf, node, inputs: [x, indices] }) =>
    gather(tf, x!, indices!, fromFront(numberAttribute(node, 'axis', 0), x!.rank)),
  OneHot: oneHot,
  Pad: pad,
  Reshape: reshape,
  Resize: resize,
  Shape(call) {
    const shape = first(call).shape;
    const [start, end] = [
      numberAttribute(call.node, 'start', 0),
      numberAttribute(call.node, 'end', shape.length),
    ];
    const sizes = Int32Array.from(shape.slice(start, end));
    return call.tf.tensor(sizes, [sizes.length], 'int32');
  },
  Size: (call) => {
    const size = first(call).shape.reduce((product, one) => product * one, 1);
    return call.tf.fill([], size, 'int32');
  },
  Slice: slice,
  SpaceToDepth: spaceToDepth,
  Split: split,
  Squeeze(call) {
    const x = first(call);
    const axes = axesOf(call)?.map((axis) => fromFront(axis, x.rank));
    return call.tf.reshape(
      x,
      x.shape.filter((size, axis) => (axes ? !axes.includes(axis) : size !== 1)),
    );
  },
  Tile: (call) => call.tf.tile(first(call), call.numbers(1)!),
  Transpose: (call) => call.tf.transpose(first(call), numbersAttribute(call.node, 'perm')),
  Unsqueeze(call) {
    const x = first(call);
    const stated = axesOf(call)!;
    const rank = x.rank + stated.length;
    const shape = [...x.shape];
    for (const axis of stated.map((one) => fromFront(one, rank)).sort((a, b) => a - b))
      shape.splice(axis, 0, 1);
    return call.tf.reshape(x, shape);
  },
};
