import { attr } from '../../src/ir/graph.js';
import { int64s, scalar, tensor, type NdArray } from '../../src/ir/tensor.js';
import { build, values, weight, type PassModel } from './pass-models.js';

/** Small models with what exporters leave behind. */
export function cleanupModels(): PassModel[] {
  return [
    build('a transposed weight and a mask made of constants', { x: values(3, 8) }, (graph) => {
      const turned = graph.op('Transpose', [graph.constant(weight(5, 8))], { perm: attr.ints([1, 0]) });
      const mask = graph.op('Sub', [graph.scalar(1), graph.constant(weight(5))]);
      return graph.op('Mul', [graph.op('MatMul', ['x', turned]), graph.op('Exp', [mask])]);
    }),
    build('a constant that would grow too large', { x: values(2, 4) }, (graph) => {
      const wide = graph.op('Expand', [graph.scalar(2), graph.int64s([200, 200])]);
      return graph.op('Add', ['x', graph.op('ReduceMean', [wide])]);
    }),
    build('nodes that change nothing', { x: values(3, 4) }, (graph) => {
      const same = graph.op('Reshape', [graph.op('Identity', ['x']), graph.int64s([3, 4])]);
      const summed = graph.op('Add', [graph.constant(tensor('float32', [1], [0])), same]);
      graph.op('Sin', ['x']);
      const scaled = graph.op('Div', [graph.op('Cast', [summed], { to: attr.int(1) }), graph.scalar(1)]);
      return graph.op('Relu', [graph.op('Dropout', [scaled])]);
    }),
    build('zeros that make a vector of a number', { x: values(3, 1) }, (graph) =>
      graph.op('Relu', [graph.op('Add', ['x', graph.constant(tensor('float32', [4], [0, 0, 0, 0]))])]),
    ),
    build('the same thing twice', { x: values(3, 4) }, (graph) => {
      const [one, two] = [weight(4, 4), tensor('float32', [4], [1, 2, 3, 4])];
      const left = graph.op('MatMul', [graph.op('Tanh', ['x']), graph.constant(one)]);
      const right = graph.op('MatMul', [graph.op('Tanh', ['x']), graph.constant(one)]);
      const noise = graph.op('Concat', [left, right], { axis: attr.int(1) });
      const sums = [graph.constant(two), graph.constant(two)].map((bias) => graph.op('Add', [left, bias]));
      return graph.op('Concat', [noise, ...sums], { axis: attr.int(-1) });
    }),
    build('Transpose after Transpose, and one in front of a Gemm', { x: values(2, 3, 4) }, (graph) => {
      const perm = (...axes: number[]) => ({ perm: attr.ints(axes) });
      const turned = graph.op('Transpose', [graph.op('Transpose', ['x'], perm(2, 0, 1))], perm(0, 2, 1));
      const flat = graph.op('Reshape', [turned, graph.int64s([12, -1])]);
      return graph.op('Gemm', [graph.op('Transpose', [flat]), graph.constant(weight(12, 5))]);
    }),
    build('a padded convolution, and a pad of another value', { x: values(1, 2, 5, 5) }, (graph) => {
      const pads = graph.int64s([0, 0, 1, 2, 0, 0, 0, 1]);
      const read = graph.op('Conv', [graph.op('Pad', ['x', pads]), graph.constant(weight(3, 2, 3, 3))], {
        pads: attr.ints([1, 0, 1, 0]),
      });
      const lifted = graph.op('Pad', [read, pads, graph.scalar(1)]);
      const deep = graph.op('Conv', [lifted, graph.constant(weight(3, 3, 2, 2))]);
      const counted = { kernel_shape: attr.ints([3, 3]), count_include_pad: attr.int(1) };
      return graph.op('AveragePool', [graph.op('Pad', [deep, pads])], counted);
    }),
    build('sizes read off the input', { x: values(3, 4, 8) }, (graph) => {
      const shape = graph.op('Shape', ['x']);
      const rows = graph.op('Gather', [shape, graph.constant(int64s([0]))]);
      const width = graph.op('Gather', [shape, graph.constant(int64s([2]))]);
      const target = graph.op(
        'Concat',
        [rows, graph.op('Mul', [width, graph.constant(scalar('int64', 4))])],
        {
          axis: attr.int(0),
        },
      );
      return graph.op('Reshape', ['x', target]);
    }),
    build('a product of matrices with a bias, and one of rank 3', { x: values(3, 6) }, (graph) => {
      const dense = graph.op('Add', [
        graph.constant(weight(4)),
        graph.op('MatMul', ['x', graph.constant(weight(6, 4))]),
      ]);
      const deep = graph.op('Unsqueeze', [dense, graph.int64s([0])]);
      const read = graph.op('MatMul', [deep, graph.constant(weight(4, 2))]);
      const flat = graph.op('Squeeze', [
        graph.op('Add', [read, graph.constant(weight(2))]),
        graph.int64s([0]),
      ]);
      const bias = graph.constant(weight(3));
      return graph.op('Gemm', [flat, graph.constant(weight(3, 2)), bias], { transB: attr.int(1) });
    }),
  ];
}

/** Models that look rows up in tables. */
export function embeddingModels(): PassModel[] {
  const ids: NdArray<'int64'> = {
    dtype: 'int64',
    dims: [2, 3],
    data: BigInt64Array.of(0n, 5n, 99n, 7n, 5n, 1n),
  };
  return [
    build('one table for two inputs', { ids, others: ids }, (graph) => {
      const table = graph.constant(weight(100, 64));
      return graph.op('Add', [graph.op('Gather', [table, 'ids']), graph.op('Gather', [table, 'others'])]);
    }),
    build('a table that is also the last layer', { ids }, (graph) => {
      const table = graph.constant(weight(100, 64));
      const turned = graph.op('Transpose', [table], { perm: attr.ints([1, 0]) });
      return graph.op('MatMul', [graph.op('Gather', [table, 'ids']), turned]);
    }),
    build('columns of a table, and a small one', { ids }, (graph) => {
      const columns = graph.op('Gather', [graph.constant(weight(64, 100)), 'ids'], { axis: attr.int(1) });
      const small = graph.op('Gather', [graph.constant(weight(100, 3)), 'ids']);
      return graph.op('Add', [graph.op('ReduceSum', [columns]), graph.op('ReduceSum', [small])]);
    }),
  ];
}

/** Models as exporters of old frameworks write them. */
export function oldModels(): PassModel[] {
  return [
    build(
      'a layer between a Squeeze and a Softmax, of operator set 11',
      { x: values(3, 1, 64) },
      (graph) => {
        const rows = graph.op('Squeeze', ['x'], { axes: attr.ints([1]) });
        const bounded = graph.op('Clip', [
          graph.op('MatMul', [rows, graph.constant(weight(64, 80))]),
          graph.scalar(0),
        ]);
        return graph.op('Softmax', [bounded]);
      },
      11,
    ),
    build(
      'two convolutions of operator set 9',
      { x: values(2, 3, 8, 8) },
      (graph) => {
        const padded = graph.op('Pad', ['x'], { pads: attr.ints([0, 0, 1, 1, 0, 0, 1, 1]) });
        const first = graph.op('Conv', [
          padded,
          graph.constant(weight(32, 3, 3, 3)),
          graph.constant(weight(32)),
        ]);
        const bounded = graph.op('Clip', [first], { min: attr.float(0), max: attr.float(6) });
        const second = graph.op('Conv', [bounded, graph.constant(weight(24, 32, 3, 3))]);
        return graph.op('ReduceMean', [second], { axes: attr.ints([2, 3]) });
      },
      9,
    ),
  ];
}
