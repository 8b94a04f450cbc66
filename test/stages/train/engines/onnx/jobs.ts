import { createHash } from 'node:crypto';
import type { Dataset, Table } from '../../../../../src/data/dataset.js';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import { attr, type Model } from '../../../../../src/ir/graph.js';
import { int64s, tensor, type NdArray } from '../../../../../src/ir/tensor.js';
import type { TrainJob } from '../../../../../src/plugin/api.js';

/** Numbers in (−1, 1) that look random and are the same each time. */
export function noise(count: number, purpose: string): Float32Array {
  return Float32Array.from({ length: count }, (_, index) => {
    const digest = createHash('sha256').update(`${purpose}/${index}`).digest();
    return (digest.readUInt32LE(0) + 0.5) / 2 ** 31 - 1;
  });
}

function dataset(
  task: 'classification' | 'regression',
  table: (split: string, rows: number) => Table,
  rows = 90,
): Dataset {
  const splits = {
    train: table('train', rows),
    validation: table('validation', 40),
    test: table('test', 40),
  };
  const { inputs, target } = splits.train;
  return {
    digest: createHash('sha256')
      .update(new Uint8Array((target.data as Float32Array).buffer))
      .digest('hex'),
    statistics: {},
    splits,
    signature: {
      schemaVersion: 1,
      name: 'made',
      task,
      features: [],
      inputs: Object.entries(inputs).map(([name, { dtype, dims }]) => ({
        name,
        dtype,
        shape: ['N', ...dims.slice(1)],
      })),
      outputs: [],
      target: { name: 'y' },
      data: { digest: 'none' },
    },
  };
}

const real = (dims: number[], data: Float32Array): NdArray => ({ dtype: 'float32', dims, data });

/** Three classes by the larger of two numbers, turned around for one of two colours. */
export function classes(rows?: number): Dataset {
  const colours = ['blue', 'red'];
  return dataset(
    'classification',
    (split, count) => {
      const features = noise(count * 2, `${split} features`);
      const colour = Array.from({ length: count }, (_, row) => colours[row % 2]!);
      const labels = colour.map((name, row) => {
        const [a, b] = [features[row * 2]!, features[row * 2 + 1]!];
        const side = a > 0.3 ? 2 : b > 0 ? 1 : 0;
        return BigInt(name === 'red' ? 2 - side : side);
      });
      return {
        rows: count,
        lines: new Uint32Array(count),
        inputs: {
          features: real([count, 2], features),
          colour: { dtype: 'string', dims: [count, 1], data: colour },
        },
        target: { dtype: 'int64', dims: [count], data: BigInt64Array.from(labels) },
      };
    },
    rows,
  );
}

/** y = 2a − 3b + 1. */
export function plane(rows?: number): Dataset {
  return dataset(
    'regression',
    (split, count) => {
      const features = noise(count * 2, `${split} features`);
      const values = Float32Array.from(
        { length: count },
        (_, row) => 2 * features[row * 2]! - 3 * features[row * 2 + 1]! + 1,
      );
      return {
        rows: count,
        lines: new Uint32Array(count),
        inputs: { features: real([count, 2], features) },
        target: real([count, 1], values),
      };
    },
    rows,
  );
}

export interface Network {
  readonly model: Model;
  readonly trainable: readonly string[];
  readonly prediction: string;
}

function finish(g: GraphBuilder, trainable: string[], prediction: string): Network {
  const opsets = { '': 21, 'ai.onnx.ml': 3 };
  return {
    model: { irVersion: 10, opsets, producer: 'test', graph: g.build(), metadata: {} },
    trainable,
    prediction,
  };
}

function dense(g: GraphBuilder, x: string, units: number, name: string, trainable: string[]): string {
  const width = Number(g.shapeOf(x)[1]);
  const weights = noise(width * units, name).map((value) => value / Math.sqrt(width));
  trainable.push(g.initializer(`${name}.weight`, tensor('float32', [width, units], weights)));
  trainable.push(g.initializer(`${name}.bias`, tensor('float32', [units], new Float32Array(units))));
  return g.op('Gemm', [x, `${name}.weight`, `${name}.bias`], {}, { name });
}

/** Numbers and a one-hot colour through a hidden layer, to probabilities and labels. */
export function classifier({ dropout = 0, units = 16 } = {}): Network {
  const g = new GraphBuilder();
  const trainable: string[] = [];
  const features = g.input('features', 'float32', ['N', 2]);
  const colour = g.input('colour', 'string', ['N', 1]);
  const keys = { keys_strings: attr.strings(['blue', 'red']), values_int64s: attr.ints([0, 1]) };
  const index = g.op('LabelEncoder', [colour], keys, { domain: 'ai.onnx.ml' });
  const onOff = g.constant(tensor('float32', [2], [0, 1]));
  const hot = g.op('OneHot', [index, g.constant(int64s([2])), onOff]);
  const flat = g.op('Reshape', [hot, g.int64s([-1, 2])]);
  let x = g.op('Relu', [
    dense(g, g.op('Concat', [features, flat], { axis: attr.int(1) }), units, 'hidden', trainable),
  ]);
  if (dropout > 0) x = g.op('Dropout', [x, g.scalar(dropout)]);
  const probabilities = g.op('Softmax', [dense(g, x, 3, 'out', trainable)], {}, { name: 'probabilities' });
  g.output(probabilities);
  g.output(g.op('ArgMax', [probabilities], { axis: attr.int(1), keepdims: attr.int(0) }, { name: 'label' }));
  return finish(g, trainable, probabilities);
}

/** A hidden layer with batch normalization. With frozen norm, scale and offset stay as they are. */
export function normalized({ frozen = false, momentum = 0.8 } = {}): Network {
  const g = new GraphBuilder();
  const trainable: string[] = [];
  const units = 4;
  const hidden = dense(g, g.input('features', 'float32', ['N', 2]), units, 'hidden', trainable);
  const constant = (name: string, value: number) =>
    g.initializer(`norm.${name}`, tensor('float32', [units], new Float32Array(units).fill(value)));
  const weights = [constant('scale', 1), constant('offset', 0)];
  if (!frozen) trainable.push(...weights);
  const statistics = [constant('mean', 0), constant('variance', 1)];
  const attributes = { epsilon: attr.float(1e-3), momentum: attr.float(momentum) };
  const normal = g.op('BatchNormalization', [hidden, ...weights, ...statistics], attributes, {
    name: 'norm',
  });
  const y = dense(g, g.op('Tanh', [normal]), 1, 'out', trainable);
  g.output(y);
  return finish(g, trainable, y);
}

/** One linear layer, whose prediction is [N]. */
export function line(): Network {
  const g = new GraphBuilder();
  const trainable: string[] = [];
  const y = dense(g, g.input('features', 'float32', ['N', 2]), 1, 'line', trainable);
  const prediction = g.op('Squeeze', [y, g.int64s([1])], {}, { name: 'prediction' });
  g.output(prediction);
  return finish(g, trainable, prediction);
}

/** A job with everything that a test does not care for filled in. */
export function job(
  network: Network,
  data: Dataset,
  work: string,
  changes: Partial<TrainJob> = {},
): TrainJob {
  const regression = data.signature.task === 'regression';
  return {
    ...network,
    dataset: data,
    loss: { name: regression ? 'meanSquaredError' : 'sparseCategoricalCrossentropy' },
    optimizer: { name: 'adam', learningRate: 0.02 },
    metrics: regression ? [] : ['accuracy'],
    epochs: 4,
    batchSize: 16,
    seed: 7,
    threads: 1,
    options: {},
    work,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...changes,
  };
}

/** Weights and history as text, to compare two trainings bit by bit. */
export function fingerprint({ model, history }: { model: Model; history: unknown }): string {
  const hash = createHash('sha256');
  for (const [name, { data }] of model.graph.initializers) hash.update(name).update(data as Uint8Array);
  return `${hash.digest('hex')} ${JSON.stringify(history)}`;
}
