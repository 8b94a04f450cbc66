// A model of models.js as an ONNX graph.
import { GraphBuilder, attr, tensor } from '../../../dist/internals/benches.js';
import { weightsOf } from './models.js';

/** @param values All weights, one behind the other. */
export function buildNetwork(spec, values) {
  const g = new GraphBuilder();
  const trainable = [];
  const shapes = weightsOf(spec);
  let offset = 0;
  const weight = () => {
    const { dims } = shapes[trainable.length];
    const size = dims.reduce((product, dim) => product * dim, 1);
    const name = `w${trainable.length}`;
    trainable.push(g.initializer(name, tensor('float32', dims, values.slice(offset, offset + size))));
    offset += size;
    return name;
  };
  const ints = (...numbers) => attr.ints(numbers);
  const walk = (layers, x) => layers.reduce((y, [kind, ...args]) => emit[kind](y, ...args), x);
  const emit = {
    dense: (x) =>
      g.rankOf(x) === 2
        ? g.op('Gemm', [x, weight(), weight()])
        : g.op('Add', [g.op('MatMul', [x, weight()]), weight()]),
    conv: (x, _, kernel, stride) => {
      const pads = Array(4).fill((kernel - 1) / 2);
      return g.op('Conv', [x, weight(), weight()], { pads: ints(...pads), strides: ints(stride, stride) });
    },
    pool: (x) => g.op('MaxPool', [x], { kernel_shape: ints(2, 2), strides: ints(2, 2) }),
    relu: (x) => g.op('Relu', [x]),
    gelu: (x) => g.op('Gelu', [x]),
    flatten: (x) => g.op('Flatten', [x]),
    mean: (x) => g.op('Flatten', [g.op('GlobalAveragePool', [x])]),
    norm: (x) => {
      const size = g.shapeOf(x)[1];
      const statistic = (name, value) =>
        g.constant(tensor('float32', [size], new Float32Array(size).fill(value)), name);
      const running = [statistic('mean', 0), statistic('variance', 1)];
      return g.op('BatchNormalization', [x, weight(), weight(), ...running]);
    },
    layernorm: (x) => g.op('LayerNormalization', [x, weight(), weight()], { axis: attr.int(-1) }),
    residual: (x, main, aside) => {
      const other = walk(aside, x);
      return g.op('Add', [walk(main, x), other]);
    },
    embedding: (x) => g.op('Add', [g.op('Gather', [weight(), x]), weight()]),
    attention: (x, width, heads) => {
      const [, length] = g.shapeOf(x);
      const all = g.op('Reshape', [emit.dense(x), g.int64s([0, 0, 3, heads, width / heads])]);
      const apart = g.op('Transpose', [all], { perm: ints(2, 0, 3, 1, 4) });
      const [q, k, v] = g
        .ops('Split', [apart], { axis: attr.int(0), num_outputs: attr.int(3) }, { outputs: 3 })
        .map((part) => g.op('Squeeze', [part, g.int64s([0])]));
      const scaled = g.op('Mul', [q, g.scalar(1 / Math.sqrt(width / heads))]);
      const scores = g.op('MatMul', [scaled, g.op('Transpose', [k], { perm: ints(0, 1, 3, 2) })]);
      const later = Array.from({ length: length ** 2 }, (_, at) =>
        at % length > Math.floor(at / length) ? -1e9 : 0,
      );
      const mask = g.constant(tensor('float32', [length, length], later), 'mask');
      const shares = g.op('Softmax', [g.op('Add', [scores, mask])], { axis: attr.int(-1) });
      const seen = g.op('Transpose', [g.op('MatMul', [shares, v])], {
        perm: ints(0, 2, 1, 3),
      });
      return emit.dense(g.op('Reshape', [seen, g.int64s([0, 0, width])]));
    },
    lstm: (x, size) => {
      const byStep = g.op('Transpose', [x], { perm: ints(1, 0, 2) });
      const given = [byStep, weight(), weight(), weight()];
      const [, last] = g.ops('LSTM', given, { hidden_size: attr.int(size) }, { outputs: 2 });
      return g.op('Squeeze', [last, g.int64s([0])]);
    },
  };
  const x = g.input('x', spec.vocabulary ? 'int64' : 'float32', ['N', ...spec.input]);
  const prediction = g.op(
    'Softmax',
    [walk(spec.layers, x)],
    { axis: attr.int(-1) },
    { name: 'probabilities' },
  );
  g.output(prediction);
  const model = { irVersion: 10, opsets: { '': 21 }, producer: 'bench', graph: g.build(), metadata: {} };
  return { model, trainable, prediction };
}
