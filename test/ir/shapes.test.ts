import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import { attr, type Dim } from '../../src/ir/graph.js';
import { inferTypes } from '../../src/ir/shapes.js';
import { int64s, stringTensor, tensor } from '../../src/ir/tensor.js';

function build(...shapes: (readonly Dim[])[]): { g: GraphBuilder; x: string[] } {
  const g = new GraphBuilder();
  return { g, x: shapes.map((shape, index) => g.input(`x${index}`, 'float32', shape)) };
}

describe('inferNode', () => {
  it('keeps the name of the batch through a dense network', () => {
    const { g, x } = build(['N', 4]);
    const w = g.constant(tensor('float32', [4, 3], new Float32Array(12)));
    const b = g.constant(tensor('float32', [3], new Float32Array(3)));
    const y = g.op('Softmax', [g.op('Relu', [g.op('Gemm', [x[0]!, w, b])])]);
    expect(g.typeOf(y)).toEqual({ dtype: 'float32', shape: ['N', 3] });
    expect(g.typeOf(g.op('ArgMax', [y], { axis: attr.int(1), keepdims: attr.int(0) }))).toEqual({
      dtype: 'int64',
      shape: ['N'],
    });
  });

  it.each<[string, Dim[], Dim[], Dim[]]>([
    ['equal names', ['N', 4], ['N', 4], ['N', 4]],
    ['trailing axes', ['N', 4], [4], ['N', 4]],
    ['ones on either side', ['N', 1], [1, 4], ['N', 4]],
    ['a name against a number', ['N'], [5], [5]],
    ['two names', ['N'], ['M'], ['add_d0-1']],
  ])('broadcasts %s', (_, a, b, expected) => {
    const { g, x } = build(a, b);
    expect(g.shapeOf(g.op('Add', x))).toEqual(expected);
  });

  it('multiplies matrices as numpy does', () => {
    const { g, x } = build(['B', 1, 'T', 8], [6, 8, 5], [8], ['T', 8]);
    expect(g.shapeOf(g.op('MatMul', [x[0]!, x[1]!]))).toEqual(['B', 6, 'T', 5]);
    expect(g.shapeOf(g.op('MatMul', [x[3]!, x[2]!]))).toEqual(['T']);
    expect(g.shapeOf(g.op('MatMul', [x[2]!, x[1]!]))).toEqual([6, 5]);
    expect(g.shapeOf(g.op('Gemm', [x[3]!, x[3]!], { transB: attr.int(1) }))).toEqual(['T', 'T']);
  });

  it('follows sizes from Shape to Reshape', () => {
    const { g, x } = build(['N', 4, 6]);
    const size = g.op('Shape', [x[0]!]);
    const batch = g.op('Gather', [size, g.int64s([0])]);
    const target = g.op('Concat', [batch, g.int64s([-1])], { axis: attr.int(0) });
    expect(g.shapeOf(g.op('Reshape', [x[0]!, target]))).toEqual(['N', 24]);
    expect(g.shapeOf(g.op('Reshape', [x[0]!, g.int64s([0, 2, 2, -1])]))).toEqual(['N', 2, 2, 6]);
    expect(g.shapeOf(g.op('Reshape', [x[0]!, g.int64s([-1, 24])]))).toEqual(['N', 24]);
    const rows = g.op('Reshape', [x[0]!, g.int64s([-1, 6])]);
    expect(g.shapeOf(rows)).toEqual(['4·N', 6]);
    expect(g.shapeOf(g.op('Reshape', [rows, g.int64s([-1, 3])]))).toEqual(['8·N', 3]);
    expect(g.shapeOf(g.op('Reshape', [rows, g.int64s([-1, 2, 2, 6])]))).toEqual(['N', 2, 2, 6]);
    expect(g.shapeOf(g.op('Reshape', [rows, g.int64s([-1, 48])]))[0]).not.toMatch('N');
    expect(g.shapeOf(g.op('Flatten', [x[0]!]))).toEqual(['N', 24]);
    expect(g.build().values.get(size)).not.toHaveProperty('elements');
  });

  it('cuts, joins and rearranges', () => {
    const { g, x } = build(['N', 7, 3], ['N', 2, 3]);
    expect(g.shapeOf(g.op('Concat', x, { axis: attr.int(1) }))).toEqual(['N', 9, 3]);
    expect(g.shapeOf(g.op('Concat', x, { axis: attr.int(0) }))[0]).toMatch(/^concat/);
    expect(
      g.ops('Split', [x[0]!], { axis: attr.int(1) }, { outputs: 2 }).map((part) => g.shapeOf(part)),
    ).toEqual([
      ['N', 4, 3],
      ['N', 3, 3],
    ]);
    const cut = [g.int64s([5]), g.int64s([-8]), g.int64s([1]), g.int64s([-2])];
    expect(g.shapeOf(g.op('Slice', [x[0]!, ...cut]))).toEqual(['N', 3, 3]);
    expect(g.shapeOf(g.op('Transpose', [x[0]!], { perm: attr.ints([2, 0, 1]) }))).toEqual([3, 'N', 7]);
    const unsqueezed = g.op('Unsqueeze', [x[0]!, g.int64s([0, -1])]);
    expect(g.shapeOf(unsqueezed)).toEqual([1, 'N', 7, 3, 1]);
    expect(g.shapeOf(g.op('Squeeze', [unsqueezed, g.int64s([0, 4])]))).toEqual(['N', 7, 3]);
  });

  it('reads axes of reductions from the attribute and from the input', () => {
    const { g, x } = build(['N', 4, 5]);
    expect(g.shapeOf(g.op('ReduceSum', [x[0]!, g.int64s([-1])]))).toEqual(['N', 4, 1]);
    expect(g.shapeOf(g.op('ReduceMean', [x[0]!], { axes: attr.ints([1]), keepdims: attr.int(0) }))).toEqual([
      'N',
      5,
    ]);
    expect(g.shapeOf(g.op('ReduceSum', [x[0]!], { keepdims: attr.int(0) }))).toEqual([]);
  });

  it('knows the operators of images', () => {
    const { g, x } = build(['N', 3, 28, 28]);
    const w = g.constant(tensor('float32', [8, 3, 3, 3], new Float32Array(216)));
    const pads = attr.ints([1, 1, 1, 1]);
    const y = g.op('Conv', [x[0]!, w], { pads, strides: attr.ints([2, 2]) });
    expect(g.shapeOf(y)).toEqual(['N', 8, 14, 14]);
    const pooled = g.op('MaxPool', [y], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) });
    expect(g.shapeOf(pooled)).toEqual(['N', 8, 7, 7]);
    expect(g.shapeOf(g.op('GlobalAveragePool', [pooled]))).toEqual(['N', 8, 1, 1]);
  });

  it('resizes, moves depth and contracts', () => {
    const { g, x } = build(['N', 8, 3, 5], ['N', 2, 'T', 4], ['N', 2, 'S', 4]);
    const scales = g.constant(tensor('float32', [4], [1, 1, 2, 0.5]));
    expect(g.shapeOf(g.op('Resize', [x[0]!, '', scales]))).toEqual(['N', 8, 6, 2]);
    const two = g.constant(tensor('float32', [2], [3, 2]));
    const axes = attr.ints([-1, 2]);
    expect(g.shapeOf(g.op('Resize', [x[0]!, '', two], { axes }))).toEqual(['N', 8, 6, 15]);
    expect(g.shapeOf(g.op('Resize', [x[0]!, '', '', g.int64s([7, 9])], { axes }))).toEqual(['N', 8, 9, 7]);
    const deep = g.op('DepthToSpace', [x[0]!], { blocksize: attr.int(2) });
    expect(g.shapeOf(deep)).toEqual(['N', 2, 6, 10]);
    expect(g.shapeOf(g.op('SpaceToDepth', [deep], { blocksize: attr.int(2) }))).toEqual(['N', 8, 3, 5]);
    const einsum = (equation: string, ...inputs: string[]) =>
      g.shapeOf(g.op('Einsum', inputs, { equation: attr.string(equation) }));
    expect(einsum('bhqd, bhkd -> bhqk', x[1]!, x[2]!)).toEqual(['N', 2, 'T', 'S']);
    expect(einsum('bhqd,bhkd', x[1]!, x[2]!)).toEqual(['S', 'T']);
  });

  it('knows the operators of quantization and of look-ups', () => {
    const { g, x } = build(['N', 4]);
    const parts = g.ops('DynamicQuantizeLinear', [x[0]!], {}, { outputs: 3 });
    const w = g.constant(tensor('int8', [4, 2], new Int8Array(8)));
    expect(g.typeOf(g.op('MatMulInteger', [parts[0]!, w]))).toEqual({ dtype: 'int32', shape: ['N', 2] });
    const colour = g.input('colour', 'string', ['N', 1]);
    const table = { keys_strings: attr.strings(['red']), values_int64s: attr.ints([0]) };
    const index = g.op('LabelEncoder', [colour], table, { domain: 'ai.onnx.ml' });
    const depth = g.constant(int64s([3]));
    const onOff = g.constant(tensor('float32', [2], [0, 1]));
    expect(g.typeOf(g.op('OneHot', [index, depth, onOff]))).toEqual({ dtype: 'float32', shape: ['N', 1, 3] });
    const labels = g.constant(stringTensor([3], ['a', 'b', 'c']));
    expect(g.typeOf(g.op('Gather', [labels, g.op('Squeeze', [index, g.int64s([1])])]))).toEqual({
      dtype: 'string',
      shape: ['N'],
    });
  });

  it('says nothing about operators it does not know', () => {
    const { g, x } = build(['N']);
    expect(g.typeOf(g.op('Mystery', x, {}, { domain: 'acme' }))).toBeUndefined();
    expect(g.typeOf(g.op('Relu', ['nobody']))).toBeUndefined();
  });
});

describe('inferTypes', () => {
  it('completes a graph whose inner values are not stated', () => {
    const { g, x } = build(['N', 4]);
    const y = g.op('Relu', [g.op('Neg', x)]);
    g.output(y);
    const types = inferTypes({ ...g.build(), values: new Map(), outputs: [{ name: y }] });
    expect(types.get(y)).toEqual({ dtype: 'float32', shape: ['N', 4] });
  });

  it('keeps a stated size where inference knows none', () => {
    const { g, x } = build(['N', 4], ['M', 4]);
    const y = g.op('Concat', x, { axis: attr.int(0) });
    const graph = {
      ...g.build(),
      values: new Map([[y, { name: y, dtype: 'float32' as const, shape: ['K', 4] }]]),
    };
    expect(inferTypes(graph).get(y)?.shape).toEqual(['K', 4]);
    expect(new GraphBuilder(graph).shapeOf(y)).toEqual(['K', 4]);
  });
});
