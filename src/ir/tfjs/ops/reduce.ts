import { numberAttribute, numbersAttribute } from '../../graph.js';
import type { Tensor, Tf } from '../tf.js';
import { first, fromFront, unsupported, type Op, type Ops } from './op.js';

type Reduce = (tf: Tf, x: Tensor, axes: readonly number[], keepDims: boolean) => Tensor;

const reduction =
  (reduce: Reduce): Op =>
  (call) => {
    const x = first(call);
    const stated = numbersAttribute(call.node, 'axes') ?? call.numbers(1) ?? [];
    if (stated.length === 0 && numberAttribute(call.node, 'noop_with_empty_axes', 0) === 1)
      return call.tf.clone(x);
    const axes = stated.length === 0 ? x.shape.map((_, axis) => axis) : stated;
    const keepDims = numberAttribute(call.node, 'keepdims', 1) === 1;
    return reduce(
      call.tf,
      x,
      axes.map((axis) => fromFront(axis, x.rank)),
      keepDims,
    );
  };

/** A function of the last axis, along any. */
const along =
  (otherwise: number, apply: (tf: Tf, x: Tensor) => Tensor): Op =>
  (call) => {
    const x = first(call);
    const axis = fromFront(numberAttribute(call.node, 'axis', otherwise), x.rank);
    if (axis === x.rank - 1) return apply(call.tf, x);
    const order = x.shape.map((_, at) => at);
    [order[axis], order[x.rank - 1]] = [x.rank - 1, axis];
    return call.tf.transpose(apply(call.tf, call.tf.transpose(x, order)), order);
  };

export const reduce: Ops = {
  ArgMax(call) {
    const { tf, node } = call;
    const x = first(call);
    if (numberAttribute(node, 'select_last_index', 0) === 1)
      throw unsupported(node, 'it takes the last of equals');
    const axis = fromFront(numberAttribute(node, 'axis', 0), x.rank);
    const index = tf.argMax(x, axis);
    return numberAttribute(node, 'keepdims', 1) === 1 ? tf.expandDims(index, axis) : index;
  },
  LogSoftmax: along(-1, (tf, x) => tf.logSoftmax(x)),
  ReduceL2: reduction((tf, x, axes, keep) => tf.sqrt(tf.sum(tf.square(x), axes, keep))),
  ReduceL1: reduction((tf, x, axes, keep) => tf.sum(tf.abs(x), axes, keep)),
  ReduceLogSumExp: reduction((tf, x, axes, keep) => tf.logSumExp(x, axes, keep)),
  ReduceMax: reduction((tf, x, axes, keep) => tf.max(x, axes, keep)),
  ReduceMean: reduction((tf, x, axes, keep) => tf.mean(x, axes, keep)),
  ReduceMin: reduction((tf, x, axes, keep) => tf.min(x, axes, keep)),
  ReduceProd: reduction((tf, x, axes, keep) => tf.prod(x, axes, keep)),
  ReduceSum: reduction((tf, x, axes, keep) => tf.sum(x, axes, keep)),
  ReduceSumSquare: reduction((tf, x, axes, keep) => tf.sum(tf.square(x), axes, keep)),
  Softmax: along(-1, (tf, x) => tf.softmax(x)),
};
