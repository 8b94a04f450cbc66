import fc from 'fast-check';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  attr,
  type Attribute,
  type Graph,
  type Model,
  type Node,
  type Value,
} from '../../../src/ir/graph.js';
import { NodeProtoSchema } from '../../../src/ir/onnx/onnx.generated.js';
import { bitsOf, dtypes, sizeOf, stringTensor, tensor, type Tensor } from '../../../src/ir/tensor.js';

/** A dense network with `hidden` units and pseudo-random weights: features [N, 4] → probabilities [N, 3]. */
export function denseModel(hidden = 16): Model {
  let state = 1;
  const random = (): number => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647 - 0.5;
  };
  const weight = (...dims: number[]): Tensor =>
    tensor('float32', dims, Array.from({ length: sizeOf(dims) }, random));
  const node = (op: string, inputs: string[], output: string, attributes = {}): Node => ({
    op,
    domain: '',
    name: output,
    inputs,
    outputs: [output],
    attributes,
  });
  return {
    irVersion: 10,
    opsets: { '': 21 },
    producer: 'test',
    metadata: { purpose: 'fixture' },
    graph: {
      name: 'main',
      inputs: [{ name: 'features', dtype: 'float32', shape: ['N', 4] }],
      outputs: [{ name: 'probabilities', dtype: 'float32', shape: ['N', 3] }],
      initializers: new Map([
        ['w1', weight(4, hidden)],
        ['b1', weight(hidden)],
        ['w2', weight(hidden, 3)],
        ['b2', weight(3)],
      ]),
      nodes: [
        node('Gemm', ['features', 'w1', 'b1'], 'h1'),
        node('Relu', ['h1'], 'r1'),
        node('Gemm', ['r1', 'w2', 'b2'], 'logits'),
        node('Softmax', ['logits'], 'probabilities', { axis: attr.int(-1) }),
      ],
      values: new Map([['h1', { name: 'h1', dtype: 'float32', shape: ['N', hidden] }]]),
    },
  };
}

const name = fc.string({ unit: 'grapheme', maxLength: 8 });
const dims = fc.array(fc.nat(3), { maxLength: 3 });

export const tensors: fc.Arbitrary<Tensor> = fc
  .tuple(fc.constantFrom(...dtypes), dims)
  .chain(([dtype, shape]) => {
    const size = sizeOf(shape);
    if (dtype === 'string') {
      return fc.array(name, { minLength: size, maxLength: size }).map((texts) => stringTensor(shape, texts));
    }
    const length = Math.ceil((size * bitsOf[dtype]) / 8);
    return fc
      .uint8Array({ minLength: length, maxLength: length })
      .map((data) => ({ dtype, dims: shape, data: new Uint8Array(data) }));
  });

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const float = fc.float({ noNaN: true });

function attributes(depth: number): fc.Arbitrary<Attribute> {
  const plain: fc.Arbitrary<Attribute>[] = [
    float.map(attr.float),
    int64.map(attr.int),
    name.map(attr.string),
    tensors.map(attr.tensor),
    fc.array(float, { maxLength: 3 }).map(attr.floats),
    fc.array(int64, { maxLength: 3 }).map(attr.ints),
    fc.array(name, { maxLength: 3 }).map(attr.strings),
    fc.array(tensors, { maxLength: 2 }).map((value) => ({ type: 'tensors', value })),
  ];
  const nested: fc.Arbitrary<Attribute>[] =
    depth > 0
      ? [
          graphs(depth - 1).map(attr.graph),
          fc.array(graphs(depth - 1), { maxLength: 2 }).map((value) => ({ type: 'graphs', value })),
        ]
      : [];
  return fc.oneof(...plain, ...nested);
}

const values: fc.Arbitrary<Value> = fc
  .record({
    name,
    doc: fc.option(fc.string({ minLength: 1, maxLength: 5 }), { nil: undefined }),
    dtype: fc.option(fc.constantFrom(...dtypes), { nil: undefined }),
    shape: fc.option(fc.array(fc.oneof(fc.nat(9), name), { maxLength: 3 }), { nil: undefined }),
  })
  .map(({ shape, ...value }) => (value.dtype ? { ...value, shape } : value));

function nodes(depth: number): fc.Arbitrary<Node> {
  return fc
    .record({
      op: name,
      domain: name,
      name,
      inputs: fc.array(name, { maxLength: 3 }),
      outputs: fc.array(name, { maxLength: 2 }),
      attributes: fc.dictionary(fc.stringMatching(/^[a-z_]{1,6}$/), attributes(depth), { maxKeys: 3 }),
      doc: fc.option(fc.string({ minLength: 1, maxLength: 5 }), { nil: undefined }),
    })
    .map(({ doc, ...node }) => {
      const rest =
        doc === undefined
          ? undefined
          : toBinary(NodeProtoSchema, create(NodeProtoSchema, { docString: doc }));
      return { ...node, ...(rest && { rest }) };
    });
}

function graphs(depth: number): fc.Arbitrary<Graph> {
  return fc.record({
    name,
    inputs: fc.array(values, { maxLength: 3 }),
    outputs: fc.array(values, { maxLength: 3 }),
    initializers: fc.array(fc.tuple(name, tensors), { maxLength: 4 }).map((list) => new Map(list)),
    nodes: fc.array(nodes(depth), { maxLength: 4 }),
    values: fc
      .array(values, { maxLength: 3 })
      .map((list) => new Map(list.map((value) => [value.name, value] as const))),
  });
}

/** Models that are well-formed as messages, whether or not their operators make sense. */
export const models: fc.Arbitrary<Model> = fc.record({
  irVersion: fc.integer({ min: 1, max: 13 }),
  opsets: fc.dictionary(fc.stringMatching(/^[a-z.]{0,6}$/), fc.integer({ min: 1, max: 30 }), {
    minKeys: 1,
    maxKeys: 3,
  }),
  producer: name,
  graph: graphs(2),
  metadata: fc.dictionary(fc.stringMatching(/^[a-z]{1,6}$/), name, { maxKeys: 3 }),
});
