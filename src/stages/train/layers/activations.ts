import type { GraphBuilder } from '../../../ir/builder.js';
import { attr } from '../../../ir/graph.js';

/** Emits the function of a value, element by element unless it says otherwise. */
type Activation = (g: GraphBuilder, x: string) => string;

/** By the names and with the constants of Keras. */
export const activations = {
  linear: (_g, x) => x,
  relu: (g, x) => g.op('Relu', [x]),
  leakyRelu: (g, x) => g.op('LeakyRelu', [x], { alpha: attr.float(0.2) }),
  elu: (g, x) => g.op('Elu', [x]),
  selu: (g, x) => g.op('Selu', [x]),
  gelu: (g, x) => g.op('Gelu', [x]),
  relu6: (g, x) => g.op('Clip', [x, g.scalar(0), g.scalar(6)]),
  exponential: (g, x) => g.op('Exp', [x]),
  mish: (g, x) => g.op('Mish', [x]),
  hardSilu: (g, x) => g.op('HardSwish', [x]),
  silu: (g, x) => g.op('Mul', [x, g.op('Sigmoid', [x])]),
  sigmoid: (g, x) => g.op('Sigmoid', [x]),
  hardSigmoid: (g, x) => g.op('HardSigmoid', [x], { alpha: attr.float(1 / 6), beta: attr.float(0.5) }),
  tanh: (g, x) => g.op('Tanh', [x]),
  softplus: (g, x) => g.op('Softplus', [x]),
  softsign: (g, x) => g.op('Softsign', [x]),
  /** Over the last axis. */
  softmax: (g, x) => g.op('Softmax', [x], { axis: attr.int(-1) }),
} as const satisfies Record<string, Activation>;

export type ActivationName = keyof typeof activations;
export const activationNames = Object.keys(activations) as [ActivationName, ...ActivationName[]];
