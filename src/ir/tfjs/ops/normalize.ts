import { numberAttribute } from '../../graph.js';
import type { Tensor, Tf } from '../tf.js';
import { first, fromFront, unsupported, type Ops } from './op.js';

/** (x − mean) / √(variance + ε) over some axes. */
function standardize(tf: Tf, x: Tensor, axes: readonly number[], epsilon: number): Tensor {
  const away = tf.sub(x, tf.mean(x, axes, true));
  return tf.mul(away, tf.rsqrt(tf.add(tf.mean(tf.square(away), axes, true), epsilon)));
}

/** [C] for use with [N, C, …]. */
const perChannel = (tf: Tf, values: Tensor, rank: number): Tensor =>
  tf.reshape(values, [values.shape[0]!, ...Array.from({ length: rank - 2 }, () => 1)]);

export const normalize: Ops = {
  GroupNormalization(call) {
    const { tf, node, inputs, opset } = call;
    const x = first(call);
    if (opset < 21) throw unsupported(node, 'it scales groups instead of channels (operator set 18)');
    const [rows, channels, ...sizes] = x.shape;
    const groups = numberAttribute(node, 'num_groups', 1);
    const apart = tf.reshape(x, [rows!, groups, channels! / groups, ...sizes]);
    const axes = apart.shape.map((_, axis) => axis).slice(2);
    const even = tf.reshape(standardize(tf, apart, axes, numberAttribute(node, 'epsilon', 1e-5)), x.shape);
    const [scale, offset] = inputs.slice(1).map((values) => perChannel(tf, values!, x.rank));
    return tf.add(tf.mul(even, scale!), offset!);
  },
  LpNormalization(call) {
    const { tf, node } = call;
    const x = first(call);
    const axis = fromFront(numberAttribute(node, 'axis', -1), x.rank);
    const isSum = numberAttribute(node, 'p', 2) === 1;
    const length = isSum ? tf.sum(tf.abs(x), [axis], true) : tf.sqrt(tf.sum(tf.square(x), [axis], true));
    return tf.div(x, length);
  },
  RMSNormalization(call) {
    const { tf, node, inputs } = call;
    const x = first(call);
    const axis = fromFront(numberAttribute(node, 'axis', -1), x.rank);
    const axes = x.shape.map((_, at) => at).slice(axis);
    const square = tf.mean(tf.square(x), axes, true);
    const rate = tf.rsqrt(tf.add(square, numberAttribute(node, 'epsilon', 1e-5)));
    return tf.mul(tf.mul(x, rate), inputs[1]!);
  },
  BatchNormalization(call) {
    const { tf, node, inputs } = call;
    if (numberAttribute(node, 'training_mode', 0) === 1) throw unsupported(node, 'it is in training mode');
    const x = first(call);
    const [scale, offset, mean, variance] = inputs.slice(1).map((values) => perChannel(tf, values!, x.rank));
    const factor = tf.mul(scale!, tf.rsqrt(tf.add(variance!, numberAttribute(node, 'epsilon', 1e-5))));
    return tf.add(tf.mul(tf.sub(x, mean!), factor), offset!);
  },
  InstanceNormalization(call) {
    const { tf, node, inputs } = call;
    const x = first(call);
    const axes = x.shape.map((_, axis) => axis).slice(2);
    const [scale, offset] = inputs.slice(1).map((values) => perChannel(tf, values!, x.rank));
    return tf.add(tf.mul(standardize(tf, x, axes, numberAttribute(node, 'epsilon', 1e-5)), scale!), offset!);
  },
  LayerNormalization(call) {
    const {
      tf,
      node,
      inputs: [, scale, offset],
    } = call;
    if (node.outputs.slice(1).some((name) => name !== ''))
      throw unsupported(node, 'its statistics are outputs');
    const x = first(call);
    const axis = fromFront(numberAttribute(node, 'axis', -1), x.rank);
    const axes = x.shape.map((_, at) => at).slice(axis);
    const scaled = tf.mul(standardize(tf, x, axes, numberAttribute(node, 'epsilon', 1e-5)), scale!);
    return offset ? tf.add(scaled, offset) : scaled;
  },
};
