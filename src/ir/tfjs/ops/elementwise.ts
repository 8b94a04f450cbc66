import { numberAttribute, stringAttribute } from '../../graph.js';
import type { DataType, Tensor, Tf } from '../tf.js';
import { first, fromFront, unsupported, type Call, type Op, type Ops } from './op.js';

const unary =
  (name: UnaryName): Op =>
  (call) =>
    call.tf[name](first(call));
type UnaryName =
  | Extract<keyof Tf, 'abs' | 'neg' | 'relu' | 'isFinite'>
  | 'ceil'
  | 'cos'
  | 'erf'
  | 'exp'
  | 'floor'
  | 'isInf'
  | 'isNaN'
  | 'log'
  | 'logicalNot'
  | 'reciprocal'
  | 'round'
  | 'sigmoid'
  | 'sign'
  | 'sin'
  | 'softplus'
  | 'sqrt'
  | 'tanh';

type BinaryName =
  | 'add'
  | 'div'
  | 'equal'
  | 'greater'
  | 'greaterEqual'
  | 'less'
  | 'lessEqual'
  | 'logicalAnd'
  | 'logicalOr'
  | 'logicalXor'
  | 'maximum'
  | 'minimum'
  | 'mod'
  | 'mul'
  | 'pow'
  | 'sub';
/** Of two, or of as many as there are. */
const folded =
  (name: BinaryName): Op =>
  ({ tf, inputs }) =>
    (inputs as readonly Tensor[]).reduce((a, b) => tf[name](a, b));

/** TensorFlow.js' own slopes of these two have the wrong shape where an operand broadcasts: it is broadcast before. */
const extreme =
  (name: 'maximum' | 'minimum'): Op =>
  ({ tf, inputs }) =>
    (inputs as readonly Tensor[]).reduce((a, b) => {
      const rank = Math.max(a.rank, b.rank);
      const shape = Array.from({ length: rank }, (_, at) =>
        Math.max(...[a, b].map((x) => x.shape[at - rank + x.rank] ?? 1)),
      );
      return tf[name](tf.broadcastTo(a, shape), tf.broadcastTo(b, shape));
    });

/** ONNX element types as TensorFlow.js has them: whole numbers are int32, reals float32. */
export function kindOf(type: number): DataType {
  if (type === 9) return 'bool';
  return [1, 10, 11, 16].includes(type) ? 'float32' : 'int32';
}

const limit = ({ numbers, inputs, node }: Call, at: number, name: string, otherwise: number): number =>
  numbers(at)?.[0] ?? (inputs[at] === undefined ? numberAttribute(node, name, otherwise) : otherwise);

/** x · Φ(x), or its approximation by tanh. */
const gelu: Op = (call) => {
  const { tf, node } = call;
  const x = first(call);
  if (stringAttribute(node, 'approximate', 'none') === 'tanh') {
    const inner = tf.mul(tf.add(x, tf.mul(tf.mul(x, tf.square(x)), 0.044715)), Math.sqrt(2 / Math.PI));
    return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
  }
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
};

/** x · σ(αx) */
const swish =
  (otherwise: number): Op =>
  (call) => {
    const { tf, node } = call;
    const x = first(call);
    return tf.mul(x, tf.sigmoid(tf.mul(x, numberAttribute(node, 'alpha', otherwise))));
  };

const hardSigmoid = (tf: Tf, x: Tensor, alpha: number, beta: number): Tensor =>
  tf.clipByValue(tf.add(tf.mul(x, alpha), beta), 0, 1);

export const elementwise: Ops = {
  Abs: unary('abs'),
  Add: folded('add'),
  And: folded('logicalAnd'),
  Cast: (call) => call.tf.cast(first(call), kindOf(numberAttribute(call.node, 'to', 1))),
  Ceil: unary('ceil'),
  Celu(call) {
    const { tf, node } = call;
    const x = first(call);
    const alpha = numberAttribute(node, 'alpha', 1);
    const below = tf.mul(tf.sub(tf.exp(tf.div(tf.minimum(x, 0), alpha)), 1), alpha);
    return tf.add(tf.relu(x), below);
  },
  Clip: (call) =>
    call.tf.clipByValue(first(call), limit(call, 1, 'min', -Infinity), limit(call, 2, 'max', Infinity)),
  Cos: unary('cos'),
  DequantizeLinear({ tf, node, inputs: [x, scale, zero] }) {
    if (numberAttribute(node, 'block_size', 0) !== 0) throw unsupported(node, 'it works in blocks');
    const axis = fromFront(numberAttribute(node, 'axis', 1), x!.rank);
    // One for all, or one for each place on the axis.
    const spread = (values: Tensor): Tensor =>
      values.rank === 0
        ? values
        : tf.reshape(
            values,
            x!.shape.map((size, at) => (at === axis ? size : 1)),
          );
    const real = tf.cast(x!, 'float32');
    const centred = zero ? tf.sub(real, spread(tf.cast(zero, 'float32'))) : real;
    return tf.mul(centred, spread(scale!));
  },
  Div: folded('div'),
  Elu(call) {
    const { tf, node } = call;
    const x = first(call);
    const below = tf.mul(tf.sub(tf.exp(tf.minimum(x, 0)), 1), numberAttribute(node, 'alpha', 1));
    return tf.add(tf.relu(x), below);
  },
  Equal: folded('equal'),
  Erf: unary('erf'),
  Exp: unary('exp'),
  Floor: unary('floor'),
  Gelu: gelu,
  Greater: folded('greater'),
  GreaterOrEqual: folded('greaterEqual'),
  HardSigmoid: (call) =>
    hardSigmoid(
      call.tf,
      first(call),
      numberAttribute(call.node, 'alpha', 0.2),
      numberAttribute(call.node, 'beta', 0.5),
    ),
  HardSwish: (call) => call.tf.mul(first(call), hardSigmoid(call.tf, first(call), 1 / 6, 0.5)),
  Identity: (call) => call.tf.clone(first(call)),
  IsInf: unary('isInf'),
  IsNaN: unary('isNaN'),
  LeakyRelu: (call) => call.tf.leakyRelu(first(call), numberAttribute(call.node, 'alpha', 0.01)),
  Less: folded('less'),
  LessOrEqual: folded('lessEqual'),
  Log: unary('log'),
  Max: extreme('maximum'),
  Mean: ({ tf, inputs }) =>
    tf.div(
      (inputs as readonly Tensor[]).reduce((a, b) => tf.add(a, b)),
      inputs.length,
    ),
  Min: extreme('minimum'),
  Mish: (call) => call.tf.mul(first(call), call.tf.tanh(call.tf.softplus(first(call)))),
  Mod(call) {
    // With fmod a remainder has the sign of the dividend, as in C.
    if (numberAttribute(call.node, 'fmod', 0) === 1) throw unsupported(call.node, 'it has fmod');
    return folded('mod')(call);
  },
  Mul: folded('mul'),
  Neg: unary('neg'),
  Not: unary('logicalNot'),
  Or: folded('logicalOr'),
  PRelu: ({ tf, inputs: [x, slope] }) => tf.add(tf.relu(x!), tf.mul(slope!, tf.minimum(x!, 0))),
  Pow: folded('pow'),
  Reciprocal: unary('reciprocal'),
  Relu: unary('relu'),
  Round: unary('round'),
  Selu(call) {
    const { tf, node } = call;
    const x = first(call);
    const alpha = numberAttribute(node, 'alpha', 1.6732632423543772);
    const below = tf.mul(tf.sub(tf.exp(tf.minimum(x, 0)), 1), alpha);
    return tf.mul(tf.add(tf.relu(x), below), numberAttribute(node, 'gamma', 1.0507009873554805));
  },
  Sigmoid: unary('sigmoid'),
  Sign: unary('sign'),
  Sin: unary('sin'),
  Softplus: unary('softplus'),
  Softsign: (call) => call.tf.div(first(call), call.tf.add(call.tf.abs(first(call)), 1)),
  Sqrt: unary('sqrt'),
  Sub: folded('sub'),
  Sum: folded('add'),
  Swish: swish(1),
  Tan: (call) => call.tf.div(call.tf.sin(first(call)), call.tf.cos(first(call))),
  Tanh: unary('tanh'),
  ThresholdedRelu({ tf, node, inputs: [x] }) {
    const isAbove = tf.greater(x!, numberAttribute(node, 'alpha', 1));
    return tf.mul(x!, tf.cast(isAbove, 'float32'));
  },
  Where: ({ tf, inputs: [condition, a, b] }) => tf.where(condition!, a!, b!),
  Xor: folded('logicalXor'),
  'com.microsoft:Gelu': gelu,
  'com.microsoft:QuickGelu': swish(1.702),
};
