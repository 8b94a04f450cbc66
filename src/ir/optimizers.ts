import type { GraphBuilder } from './builder.js';

export type OptimizerOptions = Readonly<Record<string, number | boolean>>;

/** One parameter's part of a step: names of values in the graph. */
export interface Update {
  readonly parameter: string;
  readonly gradient: string;
  /** What the optimizer remembers of the parameter, by slot; in the parameter's shape, at first 0. */
  readonly slots: Readonly<Record<string, string>>;
  /** What is fed anew each step, by the names that `scalars` gives. */
  readonly scalars: Readonly<Record<string, string>>;
}

/** Names of what a step leaves behind. */
export interface Updated {
  readonly parameter: string;
  readonly slots: Readonly<Record<string, string>>;
}

export interface Optimizer {
  readonly summary: string;
  readonly defaults: OptimizerOptions;
  slots(options: OptimizerOptions): readonly string[];
  /** Values for a step, counted from 1. They are inputs of the graph, so that it need not change with the step. */
  scalars(options: OptimizerOptions, step: number): Readonly<Record<string, number>>;
  /** Emits the update. */
  emit(g: GraphBuilder, update: Update, options: OptimizerOptions): Updated;
}

/** By the names that the config uses; options and defaults are those of Keras. */
export const optimizers: Readonly<Record<string, Optimizer>> = {
  sgd: {
    summary: 'stochastic gradient descent, with momentum if asked for',
    defaults: { learningRate: 0.01, momentum: 0, nesterov: false },
    slots: ({ momentum }) => (Number(momentum) > 0 ? ['velocity'] : []),
    scalars: ({ learningRate }) => ({ learningRate: Number(learningRate) }),
    /** v ← μ·v − α·g; θ ← θ + v, or θ + μ·v − α·g after Nesterov. */
    emit(g, { parameter, gradient, slots, scalars }, { momentum, nesterov }): Updated {
      const step = g.op('Mul', [gradient, scalars['learningRate']!]);
      const old = slots['velocity'];
      if (old === undefined) return { parameter: g.op('Sub', [parameter, step]), slots: {} };
      const coast = (velocity: string) =>
        g.op('Sub', [g.op('Mul', [velocity, g.scalar(Number(momentum))]), step]);
      const velocity = coast(old);
      const move = nesterov === true ? coast(velocity) : velocity;
      return { parameter: g.op('Add', [parameter, move]), slots: { velocity } };
    },
  },
  adam: {
    summary: 'adaptive moments (Kingma and Ba, arXiv:1412.6980, algorithm 1)',
    defaults: { learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
    slots: () => ['mean', 'variance'],
    /**
     * The slots hold M = m/(1−β₁) and V = v/(1−β₂), which saves two products for each parameter. The factors that
     * were left out, and the corrections 1−β^t of the bias, are here: with s = √((1−β₂)/(1−β₂^t)),
     * α·m̂/(√v̂ + ε) = [α·(1−β₁)/((1−β₁^t)·s)] · M/(√V + ε/s).
     */
    scalars({ learningRate, beta1, beta2, epsilon }, step) {
      const [first, second] = [Number(beta1), Number(beta2)];
      const spread = Math.sqrt((1 - second) / (1 - second ** step));
      const rate = (Number(learningRate) * (1 - first)) / ((1 - first ** step) * spread);
      return { rate, epsilon: Number(epsilon) / spread };
    },
    emit(g, { parameter, gradient, slots, scalars }, { beta1, beta2 }): Updated {
      const decay = (slot: string, beta: number) => g.op('Mul', [slot, g.scalar(beta)]);
      const mean = g.op('Add', [decay(slots['mean']!, Number(beta1)), gradient]);
      const square = g.op('Mul', [gradient, gradient]);
      const variance = g.op('Add', [decay(slots['variance']!, Number(beta2)), square]);
      const scale = g.op('Add', [g.op('Sqrt', [variance]), scalars['epsilon']!]);
      const step = g.op('Mul', [g.op('Div', [mean, scale]), scalars['rate']!]);
      return { parameter: g.op('Sub', [parameter, step]), slots: { mean, variance } };
    },
  },
};
