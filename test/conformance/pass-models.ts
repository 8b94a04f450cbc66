import { expect } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import { attr, type Model } from '../../src/ir/graph.js';
import { sizeOf, tensor, type NdArray, type Tensor } from '../../src/ir/tensor.js';
import type { Feeds } from '../../src/runtime/session.js';
import { classifier, flowers, noise, regressor } from '../evaluate/models.js';

export interface PassModel {
  readonly name: string;
  readonly model: Model;
  readonly feeds: Feeds;
}

let random = noise(11);
let drawsFor: string | undefined;

/** Every file of tests gets the same numbers, whichever files ran before it in its process. */
export function values(...dims: number[]): NdArray<'float32'> {
  const { testPath } = expect.getState();
  if (testPath !== drawsFor) {
    drawsFor = testPath;
    random = noise(11);
  }
  return { dtype: 'float32', dims, data: Float32Array.from({ length: sizeOf(dims) }, random) };
}

export function weight(...dims: number[]): Tensor {
  return tensor('float32', dims, values(...dims).data);
}

export function build(
  name: string,
  feeds: Feeds,
  grow: (builder: GraphBuilder) => string,
  opset = 21,
): PassModel {
  const builder = new GraphBuilder();
  for (const [input, { dtype, dims }] of Object.entries(feeds)) {
    builder.input(input, dtype, ['N', ...dims.slice(1)]);
  }
  builder.output(grow(builder));
  const opsets = { '': opset };
  return {
    name,
    feeds,
    model: { irVersion: 8, opsets, producer: 'test', metadata: { kept: 'yes' }, graph: builder.build() },
  };
}

/** Small models with the constructions that rewrites of dense layers meet. */
export function passModels(): PassModel[] {
  return [
    { name: 'classifier', model: classifier(64), feeds: { features: flowers(20) } },
    { name: 'regressor', model: regressor(64), feeds: { features: flowers(20) } },
    build('transposed Gemm without bias', { x: values(3, 64) }, (graph) =>
      graph.op('Gemm', ['x', graph.constant(weight(96, 64))], {
        transB: attr.int(1),
      }),
    ),
    build('batched MatMul with bias behind it', { x: values(2, 5, 64) }, (graph) =>
      graph.op('Add', [
        graph.op('MatMul', ['x', graph.constant(weight(64, 80))]),
        graph.constant(weight(80)),
      ]),
    ),
    build('one input for two layers, one weight for two inputs', { x: values(3, 64) }, (graph) => {
      const shared = graph.constant(weight(64, 64));
      const left = graph.op('Gemm', ['x', shared, graph.constant(weight(64))]);
      const right = graph.op('Gemm', ['x', graph.constant(weight(64, 64))]);
      return graph.op('Add', [graph.op('MatMul', [left, shared]), right]);
    }),
    build('weights in Constant nodes', { x: values(3, 64) }, (graph) =>
      graph.op('MatMul', ['x', graph.op('Constant', [], { value: attr.tensor(weight(64, 64)) })]),
    ),
    build('normalised by a scalar that a second reader needs', { x: values(3, 64) }, (graph) => {
      const scaled = graph.op('Mul', ['x', graph.scalar(0.25)]);
      const dense = graph.op('Gemm', [scaled, graph.constant(weight(64, 64))]);
      return graph.op('Add', [dense, scaled]);
    }),
    build('constant minus input, divided', { x: values(3, 64) }, (graph) => {
      const turned = graph.op('Sub', [graph.constant(weight(64)), 'x']);
      const scaled = graph.op('Div', [turned, graph.constant(tensor('float32', [1], [3]))]);
      const bias = graph.constant(weight(1, 64));
      return graph.op('Gemm', [scaled, graph.constant(weight(64, 64)), bias]);
    }),
    build('scaled in front of a MatMul', { x: values(3, 64) }, (graph) =>
      graph.op('MatMul', [
        graph.op('Mul', ['x', graph.constant(weight(64))]),
        graph.constant(weight(64, 64)),
      ]),
    ),
    build('a single column spread over many', { x: values(3, 1) }, (graph) =>
      graph.op('Gemm', [graph.op('Mul', ['x', graph.constant(weight(64))]), graph.constant(weight(64, 64))]),
    ),
    build('scaled Gemm', { x: values(3, 64) }, (graph) =>
      graph.op('Gemm', ['x', graph.constant(weight(64, 64)), graph.constant(weight(64))], {
        alpha: attr.float(0.5),
        beta: attr.float(2),
      }),
    ),
    build('two activations multiplied', { x: values(3, 64) }, (graph) =>
      graph.op('MatMul', ['x', graph.op('Transpose', ['x'])]),
    ),
    build('convolution', { x: values(1, 3, 8, 8) }, (graph) =>
      graph.op('Conv', ['x', graph.constant(weight(8, 3, 3, 3))]),
    ),
    build('a residual net with batch normalization', { x: values(3, 2, 8, 8) }, residualNet),
    build('a depthwise net with bounded activations', { x: values(2, 4, 6, 6) }, (graph) => {
      const spread = graph.op('Conv', ['x', graph.constant(weight(8, 4, 1, 1))]);
      const bounded = graph.op('Clip', [spread, graph.scalar(0), graph.scalar(6)]);
      const attributes = { group: attr.int(8), pads: attr.ints([1, 1, 1, 1]), strides: attr.ints([2, 2]) };
      const deep = graph.op(
        'Conv',
        [bounded, graph.constant(weight(8, 1, 3, 3)), graph.constant(weight(8))],
        attributes,
      );
      return graph.op('Flatten', [graph.op('MaxPool', [deep], { kernel_shape: attr.ints([3, 3]) })]);
    }),
    build('batch normalization behind a Gemm', { x: values(3, 6) }, (graph) =>
      batchNorm(graph, graph.op('Gemm', ['x', graph.constant(weight(6, 5)), graph.constant(weight(5))]), 5),
    ),
    build('a convolution that others read before it is normalized', { x: values(1, 2, 4, 4) }, (graph) => {
      const read = graph.op('Conv', ['x', graph.constant(weight(3, 2, 1, 1))]);
      return graph.op('Add', [graph.op('Sigmoid', [batchNorm(graph, read, 3)]), read]);
    }),
    build(
      'an old operator set',
      { x: values(3, 64) },
      (graph) => graph.op('MatMul', ['x', graph.constant(weight(64, 64))]),
      9,
    ),
    build('no weights at all', { x: values(3, 4) }, (graph) => graph.op('Relu', ['x'])),
  ];
}

/** Statistics and weights as training leaves them: no scale is 0, no variance negative. */
function batchNorm(graph: GraphBuilder, x: string, channels: number): string {
  const positive = () =>
    tensor(
      'float32',
      [channels],
      values(channels).data.map((value) => 0.5 + Math.abs(value)),
    );
  const [gamma, variance] = [graph.constant(positive()), graph.constant(positive())];
  return graph.op('BatchNormalization', [
    x,
    gamma,
    graph.constant(weight(channels)),
    graph.constant(weight(channels)),
    variance,
  ]);
}

function residualNet(graph: GraphBuilder): string {
  const pads = { pads: attr.ints([1, 1, 1, 1]) };
  const convolve = (x: string, filters: number, channels: number) =>
    batchNorm(graph, graph.op('Conv', [x, graph.constant(weight(filters, channels, 3, 3))], pads), filters);
  const stem = graph.op('Relu', [convolve('x', 6, 2)]);
  const inner = graph.op('Relu', [convolve(stem, 6, 6)]);
  const sum = graph.op('Relu', [graph.op('Add', [convolve(inner, 6, 6), stem])]);
  const last = graph.op('Relu', [
    convolve(
      graph.op('MaxPool', [sum], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) }),
      8,
      6,
    ),
  ]);
  const pooled = graph.op('Flatten', [graph.op('GlobalAveragePool', [last])]);
  return graph.op('Gemm', [pooled, graph.constant(weight(8, 5)), graph.constant(weight(5))]);
}
