// The models of `npm run bench:serve`, as ONNX files with random weights: what they answer does not matter, what they cost
// does. `row` makes the inputs of some rows out of a source of numbers in [-1, 1).
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const size = (dims) => dims.reduce((product, dim) => product * dim, 1);
const floats = (dims) => (count, next) => ({
  name: 'x',
  datatype: 'FP32',
  shape: [count, ...dims],
  data: Float32Array.from({ length: count * size(dims) }, next),
});

/** name → how it is built on a GraphBuilder, and its rows. */
export const models = {
  // Pixels, two hidden layers, ten classes: 235 146 weights.
  mlp: {
    row: floats([784]),
    build(net) {
      net.input('float32', [784]);
      net.dense(784, 256).relu().dense(256, 128).relu().dense(128, 10).softmax();
    },
  },
  // Two convolutions with pooling, and a dense head.
  cnn: {
    row: floats([1, 28, 28]),
    build(net) {
      net.input('float32', [1, 28, 28]);
      net.conv(1, 16, 3).relu().pool().conv(16, 32, 3).relu().pool().flatten().dense(1568, 10).softmax();
    },
  },
  // The eighteen layers of He et al. (2015) with their widths, 11 million weights, for images of 64 × 64.
  resnet18: {
    row: floats([3, 64, 64]),
    build(net) {
      net.input('float32', [3, 64, 64]);
      net.conv(3, 64, 7, 2).relu().pool();
      for (const [from, to, stride] of [
        [64, 64, 1],
        [64, 64, 1],
        [64, 128, 2],
        [128, 128, 1],
        [128, 256, 2],
        [256, 256, 1],
        [256, 512, 2],
        [512, 512, 1],
      ]) {
        net.residual(
          (inner) => inner.conv(from, to, 3, stride).relu().conv(to, to, 3),
          (inner) => (stride === 1 ? inner : inner.conv(from, to, 1, stride)),
        );
        net.relu();
      }
      net.mean([2, 3]).dense(512, 10).softmax();
    },
  },
  // An encoder of four layers of width 256 with four heads, for 64 words at a time.
  bert: {
    row: (count, next) => ({
      name: 'x',
      datatype: 'INT64',
      shape: [count, 64],
      data: BigInt64Array.from({ length: count * 64 }, () => BigInt(Math.floor((next() + 1) * 500))),
    }),
    build(net) {
      net.input('int64', [64]);
      net.embedding(1000, 256);
      for (let layer = 0; layer < 4; layer++) {
        net.residual((inner) => inner.attention(64, 256, 4)).norm(256);
        net.residual((inner) => inner.dense(256, 1024).gelu().dense(1024, 256)).norm(256);
      }
      net.mean([1]).dense(256, 2).softmax();
    },
  },
  // The same for 8 to 64 words, and one of two layers of width 128.
  words: encoderOfWords(4, 256, 4),
  fewWords: encoderOfWords(2, 128, 2),
};

/** For 8 to 64 words, of which 0 stands for none: what it stands at counts for nothing. */
function encoderOfWords(layers, width, heads) {
  return {
    row: (count, next) => {
      const length = 36 + Math.floor(28.5 * next());
      const ids = Array.from({ length: count * length }, () => BigInt(1 + Math.floor((next() + 1) * 499)));
      return { name: 'x', datatype: 'INT64', shape: [count, length], data: BigInt64Array.from(ids) };
    },
    build(net) {
      net.input('int64', ['words']).mask();
      net.embedding(1000, width);
      for (let layer = 0; layer < layers; layer++) {
        net.residual((inner) => inner.attention(-1, width, heads)).norm(width);
        net
          .residual((inner) =>
            inner
              .dense(width, 4 * width)
              .gelu()
              .dense(4 * width, width),
          )
          .norm(width);
      }
      net.maskedMean().dense(width, 2).softmax();
    },
  };
}

/** Writes NAME.onnx into a folder; returns its path. `ir` is what maas builds graphs with. */
export function writeModel(name, folder, ir) {
  const net = new Net(ir);
  models[name].build(net);
  const path = join(folder, `${name}.onnx`);
  writeFileSync(path, net.encode());
  return path;
}

/** A network in a row: each method takes what the one before it gave. */
class Net {
  constructor(ir) {
    this.ir = ir;
    this.graph = new ir.GraphBuilder('bench');
    this.value = '';
    this.next = randomNumbers(7);
  }

  input(dtype, dims) {
    this.value = this.graph.input('x', dtype, ['N', ...dims]);
    return this;
  }

  /** From here on, places with 0 are passed over: `kept` is [N, words], 1 where there is a word. */
  mask() {
    const { attr } = this.ir;
    const zero = this.graph.scalar(0, 'int64');
    const kept = this.graph.op('Not', [this.graph.op('Equal', [this.value, zero])]);
    this.kept = this.graph.op('Cast', [kept], { to: attr.int(1) });
    return this;
  }

  /** What is added to scores, [N, 1, 1, words]: nothing, or so little that no share is left. */
  get bias() {
    const { graph } = this;
    const scaled = graph.op('Mul', [graph.op('Sub', [this.kept, graph.scalar(1)]), graph.scalar(1e9)]);
    return graph.op('Unsqueeze', [scaled, graph.int64s([1, 2])]);
  }

  maskedMean() {
    const { attr } = this.ir;
    const kept = this.graph.op('Unsqueeze', [this.kept, this.graph.int64s([2])]);
    const [axes, keepdims] = [[this.graph.int64s([1])], { keepdims: attr.int(0) }];
    this.op('Mul', [kept]).op('ReduceSum', axes, keepdims);
    return this.op('Div', [this.graph.op('ReduceSum', [kept, ...axes], keepdims)]);
  }

  weight(dims, scale) {
    const { tensor } = this.ir;
    return this.graph.constant(
      tensor(
        'float32',
        dims,
        Array.from({ length: size(dims) }, () => scale * this.next()),
      ),
    );
  }

  op(name, inputs = [], attributes = {}) {
    this.value = this.graph.op(name, [this.value, ...inputs], attributes);
    return this;
  }

  dense(from, to) {
    this.op('MatMul', [this.weight([from, to], Math.sqrt(3 / from))]);
    return this.op('Add', [this.weight([to], 0.1)]);
  }

  conv(from, to, kernel, stride = 1) {
    const { attr } = this.ir;
    const pad = (kernel - 1) / 2;
    const weights = this.weight([to, from, kernel, kernel], Math.sqrt(3 / (from * kernel ** 2)));
    return this.op('Conv', [weights, this.weight([to], 0.1)], {
      kernel_shape: attr.ints([kernel, kernel]),
      pads: attr.ints([pad, pad, pad, pad]),
      strides: attr.ints([stride, stride]),
    });
  }

  pool() {
    const { attr } = this.ir;
    return this.op('MaxPool', [], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) });
  }

  relu() {
    return this.op('Relu');
  }

  gelu() {
    return this.op('Gelu');
  }

  softmax() {
    return this.op('Softmax', [], { axis: this.ir.attr.int(-1) });
  }

  flatten() {
    return this.op('Flatten');
  }

  mean(axes) {
    return this.op('ReduceMean', [this.graph.int64s(axes)], { keepdims: this.ir.attr.int(0) });
  }

  norm(width) {
    return this.op('LayerNormalization', [this.weight([width], 1), this.weight([width], 0.1)]);
  }

  embedding(words, width) {
    this.value = this.graph.op('Gather', [this.weight([words, width], 1), this.value]);
    return this;
  }

  residual(body, shortcut = (same) => same) {
    const start = this.value;
    body(this);
    const end = this.value;
    this.value = start;
    shortcut(this);
    return this.op('Add', [end]);
  }

  attention(length, width, heads) {
    const { attr } = this.ir;
    const start = this.value;
    // A length that is open is the one that is left over.
    const rows = length < 0 ? 0 : -1;
    const [query, key, content] = [
      [0, 2, 1, 3],
      [0, 2, 3, 1],
      [0, 2, 1, 3],
    ].map((order) => {
      this.value = start;
      this.dense(width, width).op('Reshape', [this.graph.int64s([rows, length, heads, width / heads])]);
      return this.op('Transpose', [], { perm: attr.ints(order) }).value;
    });
    this.value = query;
    this.op('MatMul', [key]).op('Mul', [this.graph.scalar(1 / Math.sqrt(width / heads))]);
    if (this.kept) this.op('Add', [this.bias]);
    this.softmax();
    this.op('MatMul', [content]).op('Transpose', [], { perm: attr.ints([0, 2, 1, 3]) });
    return this.op('Reshape', [this.graph.int64s([rows, length, width])]).dense(width, width);
  }

  encode() {
    this.graph.output(this.value, 'y');
    const rest = { irVersion: 10, opsets: { '': 20 }, producer: 'maas-bench', metadata: {} };
    return this.ir.encodeModel({ ...rest, graph: this.graph.build() });
  }
}

/** Numbers in [-1, 1), the same each time. */
export function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}
