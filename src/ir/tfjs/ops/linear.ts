import { numberAttribute } from '../../graph.js';
import type { Tensor, Tf } from '../tf.js';
import type { Op, Ops } from './op.js';

/**
 * A product of matrices over leading axes that broadcast. TensorFlow.js' own slope of one that broadcasts is wrong, so
 * what has more axes than a matrix becomes one matrix, or is broadcast before.
 */
function multiply(tf: Tf, a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
  if (a.rank === 1 || b.rank === 1) {
    const [left, right] = [a.rank === 1 ? tf.expandDims(a, 0) : a, b.rank === 1 ? tf.expandDims(b, 1) : b];
    const product = multiply(tf, left, right);
    const shape = [...product.shape];
    if (b.rank === 1) shape.splice(-1, 1);
    if (a.rank === 1) shape.splice(b.rank === 1 ? -1 : -2, 1);
    return tf.reshape(product, shape);
  }
  if (a.rank === 2 && b.rank === 2) return tf.matMul(a, b, transposeA, transposeB);
  if (b.rank === 2 && !transposeA) {
    const width = a.shape.at(-1)!;
    const flat = tf.matMul(tf.reshape(a, [-1, width]), b, false, transposeB);
    return tf.reshape(flat, [...a.shape.slice(0, -1), flat.shape[1]!]);
  }
  const rank = Math.max(a.rank, b.rank);
  const leading = Array.from({ length: rank - 2 }, (_, at) =>
    Math.max(...[a, b].map(({ shape }) => shape[at - rank + shape.length] ?? 1)),
  );
  const [left, right] = [a, b].map((x) => tf.broadcastTo(x, [...leading, ...x.shape.slice(-2)]));
  return tf.matMul(left!, right!, transposeA, transposeB);
}

const gemm: Op = ({ tf, node, inputs: [a, b, c] }) => {
  const scaled = (x: Tensor, by: number) => (by === 1 ? x : tf.mul(x, by));
  const flag = (name: string) => numberAttribute(node, name, 0) === 1;
  const product = scaled(
    tf.matMul(a!, b!, flag('transA'), flag('transB')),
    numberAttribute(node, 'alpha', 1),
  );
  return c ? tf.add(product, scaled(c, numberAttribute(node, 'beta', 1))) : product;
};

const fused: Op = ({ tf, node, inputs: [a, b] }) => {
  const flag = (name: string) => numberAttribute(node, name, 0) === 1;
  const product = multiply(tf, a!, b!, flag('transA'), flag('transB'));
  const alpha = numberAttribute(node, 'alpha', 1);
  return alpha === 1 ? product : tf.mul(product, alpha);
};

export const linear: Ops = {
  Gemm: gemm,
  MatMul: ({ tf, inputs: [a, b] }) => multiply(tf, a!, b!),
  'com.microsoft:FusedMatMul': fused,
};
