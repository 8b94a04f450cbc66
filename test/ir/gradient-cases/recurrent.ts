import { attr, type Attributes } from '../../../src/ir/graph.js';
import { tensor } from '../../../src/ir/tensor.js';
import type { GradientCase } from '../gradient-cases.js';

const gates: Readonly<Record<string, number>> = { LSTM: 4, GRU: 3, RNN: 1 };

interface Options {
  readonly directions?: number;
  /** Steps of each of the two rows; all three without. */
  readonly lengths?: readonly number[];
  readonly attributes?: Attributes;
  /** Whether the first states are inputs too. */
  readonly states?: boolean;
  /** Outputs that the loss looks at. Default: all. */
  readonly outputs?: (all: string[]) => string[];
}

/** Three steps, two rows, two features, two units. onnxruntime has these operators in float32 only. */
function recurrent(op: string, what: string, options: Options = {}): GradientCase {
  const { directions = 1, lengths, attributes, states = false, outputs = (all: string[]) => all } = options;
  const size = 2 * gates[op]!;
  const count = op === 'LSTM' ? 2 : 1;
  const first = Array.from({ length: states ? count : 0 }, () => [directions, 2, 2]);
  return {
    what,
    shapes: [[3, 2, 2], [directions, size, 2], [directions, size, 2], [directions, 2 * size], ...first],
    single: true,
    build: (g, [x, w, r, b, ...given]) => {
      const lens = lengths ? g.constant(tensor('int32', [lengths.length], lengths)) : '';
      const all = { hidden_size: attr.int(2), ...attributes };
      return outputs(g.ops(op, [x!, w!, r!, b!, lens, ...given], all, { outputs: count + 1 }));
    },
    domain: (value) => 0.7 * value,
  };
}

const both = { direction: attr.string('bidirectional') };
const reverse = { direction: attr.string('reverse') };

const common = (op: string): GradientCase[] => [
  recurrent(op, 'all outputs', { states: true }),
  recurrent(op, 'both ways over lengths', { attributes: both, directions: 2, lengths: [3, 2], states: true }),
];

const activations = (...names: string[]) => ({ activations: attr.strings(names) });

export const recurrentCases: Readonly<Record<string, readonly GradientCase[]>> = {
  LSTM: [
    ...common('LSTM'),
    recurrent('LSTM', 'the last state alone', { outputs: (all) => [all[1]!] }),
    recurrent('LSTM', 'backwards', { attributes: reverse }),
    recurrent('LSTM', 'sequences of their own lengths', { lengths: [1, 3], states: true }),
    recurrent('LSTM', 'the last cell alone', { outputs: (all) => [all[2]!] }),
    recurrent('LSTM', 'other activations', { attributes: activations('Sigmoid', 'Sigmoid', 'Tanh') }),
  ],
  GRU: [
    ...common('GRU'),
    recurrent('GRU', 'the reset after the product', {
      attributes: { linear_before_reset: attr.int(1) },
      states: true,
    }),
    recurrent('GRU', 'the reset after the product, both ways over lengths', {
      attributes: { linear_before_reset: attr.int(1), ...both },
      directions: 2,
      lengths: [2, 3],
    }),
  ],
  RNN: [...common('RNN'), recurrent('RNN', 'sigmoids', { attributes: activations('Sigmoid') })],
};
