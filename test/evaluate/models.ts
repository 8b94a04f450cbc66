import type { Table } from '../../src/data/dataset.js';
import type { Signature } from '../../src/data/signature.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import { attr, type Model } from '../../src/ir/graph.js';
import { int64s, tensor, type NdArray } from '../../src/ir/tensor.js';

/** Pseudo-random numbers in [-1, 1), the same for the same seed (MINSTD). */
export function noise(seed: number): () => number {
  // Small seeds begin with small numbers.
  let state = (seed * 69_621_337) % 2147483647;
  return () => {
    state = (state * 48271) % 2147483647;
    return (state / 2147483647) * 2 - 1;
  };
}

export const labels = ['setosa', 'versicolor', 'virginica'];

/** He-scaled random weights, so that activations neither die out nor grow from layer to layer. */
function weights(random: () => number, rows: number, columns: number): number[] {
  return Array.from({ length: rows * columns }, () => random() * Math.sqrt(6 / rows));
}

function grow(builder: GraphBuilder, widths: readonly number[], seed: number): string {
  const random = noise(seed);
  const features = builder.input('features', 'float32', ['N', widths[0]!]);
  const mean = builder.initializer('mean', tensor('float32', [4], [5.8, 3, 3.7, 1.2]));
  const deviation = builder.initializer('deviation', tensor('float32', [4], [0.8, 0.4, 1.8, 0.8]));
  let x = builder.op('Div', [builder.op('Sub', [features, mean]), deviation]);
  widths.slice(1).forEach((width, index) => {
    const before = widths[index]!;
    const weight = tensor('float32', [before, width], weights(random, before, width));
    const bias = tensor('float32', [width], Array.from({ length: width }, random));
    const inputs = [x, builder.constant(weight, `weight${index}`), builder.constant(bias, `bias${index}`)];
    x = builder.op('Gemm', inputs, {}, { name: `dense${index}` });
    if (index < widths.length - 2) x = builder.op('Relu', [x]);
  });
  return x;
}

function modelOf(builder: GraphBuilder): Model {
  const opsets = { '': 21, 'ai.onnx.ml': 3 };
  return { irVersion: 10, opsets, producer: 'maas', metadata: {}, graph: builder.build() };
}

/** A classifier in the form in which maas trains them: 4 → hidden → hidden → 3, normalisation and labels within. */
export function classifier(hidden = 128, seed = 1): Model {
  const builder = new GraphBuilder();
  const probabilities = builder.op('Softmax', [grow(builder, [4, hidden, hidden, 3], seed)], {
    axis: attr.int(-1),
  });
  const index = builder.op('ArgMax', [probabilities], { axis: attr.int(-1), keepdims: attr.int(0) });
  const encoder = { keys_int64s: attr.ints([0, 1, 2]), values_strings: attr.strings(labels) };
  builder.output(builder.op('LabelEncoder', [index], encoder, { domain: 'ai.onnx.ml' }), 'label');
  builder.output(probabilities, 'probabilities');
  const model = modelOf(builder);
  const outputs = [
    { name: 'label', dtype: 'string' as const, shape: ['N'] },
    { name: 'probabilities', dtype: 'float32' as const, shape: ['N', 3] },
  ];
  return { ...model, graph: { ...model.graph, outputs } };
}

/** 4 → hidden → hidden → 1. */
export function regressor(hidden = 128, seed = 1): Model {
  const builder = new GraphBuilder();
  const y = grow(builder, [4, hidden, hidden, 1], seed);
  builder.output(builder.op('Reshape', [y, builder.initializer('flat', int64s([-1]))]), 'prediction');
  const model = modelOf(builder);
  const outputs = [{ name: 'prediction', dtype: 'float32' as const, shape: ['N'] }];
  return { ...model, graph: { ...model.graph, outputs } };
}

/** Rows in the range of iris flowers, without a target yet. */
export function flowers(rows: number, seed = 2): NdArray<'float32'> {
  const random = noise(seed);
  const centre = [5.8, 3, 3.7, 1.2];
  const spread = [1.5, 0.8, 2.8, 1.1];
  const data = Float32Array.from({ length: rows * 4 }, (_, i) => centre[i % 4]! + random() * spread[i % 4]!);
  return { dtype: 'float32', dims: [rows, 4], data };
}

export function tableOf(inputs: Readonly<Record<string, NdArray>>, target: NdArray): Table {
  const rows = target.dims[0]!;
  return { rows, lines: Uint32Array.from({ length: rows }, (_, row) => row + 2), inputs, target };
}

/** Class indexes as the target of a table. */
export function classes(indexes: readonly number[]): NdArray<'int64'> {
  return { dtype: 'int64', dims: [indexes.length], data: BigInt64Array.from(indexes, BigInt) };
}

export function signatureOf(task: Signature['task'], digest = 'd'.repeat(64)): Signature {
  const names = ['sepal_length', 'sepal_width', 'petal_length', 'petal_width'];
  return {
    schemaVersion: 1,
    name: 'iris',
    task,
    features: names.map((name, column) => ({ name, type: 'number', input: 'features', column })),
    inputs: [{ name: 'features', dtype: 'float32', shape: ['N', 4] }],
    outputs:
      task === 'classification'
        ? [
            { name: 'label', dtype: 'string', shape: ['N'] },
            { name: 'probabilities', dtype: 'float32', shape: ['N', 3] },
          ]
        : [{ name: 'prediction', dtype: 'float32', shape: ['N'] }],
    target: { name: 'species', ...(task === 'classification' && { labels }) },
    data: { digest },
  };
}
