import type { Optimizer, Updated } from './optimizer.js';

export const adagrad: Optimizer = {
  summary: 'steps that shrink with the sum of the squared gradients (Duchi, Hazan and Singer, JMLR 12, 2011)',
  defaults: { learningRate: 0.001, initialAccumulator: 0.1, epsilon: 1e-7 },
  slots: ({ initialAccumulator }) => ({ accumulator: Number(initialAccumulator) }),
  scalars: ({ learningRate }) => ({ learningRate: Number(learningRate) }),
  /** a ← a + g²; θ ← θ − α·g/(√a + ε). */
  emit(g, { parameter, gradient, slots, scalars }, { epsilon }): Updated {
    const accumulator = g.op('Add', [slots['accumulator']!, g.op('Mul', [gradient, gradient])]);
    const scale = g.op('Add', [g.op('Sqrt', [accumulator]), g.scalar(Number(epsilon))]);
    const step = g.op('Mul', [g.op('Div', [gradient, scale]), scalars['learningRate']!]);
    return { parameter: g.op('Sub', [parameter, step]), slots: { accumulator } };
  },
};
