import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MaasError } from '../../../../../src/errors.js';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import { attr } from '../../../../../src/ir/graph.js';
import { gradients } from '../../../../../src/ir/gradient.js';
import { encodeModel } from '../../../../../src/ir/onnx/save.js';
import { numbersOf, tensor } from '../../../../../src/ir/tensor.js';
import { openSession } from '../../../../../src/runtime/session.js';
import type { TrainJob } from '../../../../../src/plugin/api.js';
import { onnxEngine } from '../../../../../src/stages/train/engines/onnx/index.js';
import { tfjsNodeEngine } from '../../../../../src/stages/train/engines/tfjs-node/index.js';
import { openProgram } from '../../../../../src/ir/tfjs/interpret.js';
import { decodeRecords } from '../../../../../src/stages/train/run-log/records.js';
import { gradientCases, type GradientCase } from '../../../../ir/gradient-cases.js';
import {
  classes,
  classifier,
  fingerprint,
  job,
  noise,
  normalized,
  plane,
  type Network,
} from '../onnx/jobs.js';
import { absent, openTf, places } from './installed.js';

let root: string;
let folders = 0;
const work = () => join(root, String(folders++));
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-tfjs-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** An image of the two features: convolution, pooling, a dense layer. */
function convolutional(): Network {
  const g = new GraphBuilder();
  const features = g.input('features', 'float32', ['N', 2]);
  const trainable: string[] = [];
  const weight = (name: string, dims: number[]) => {
    const size = dims.reduce((product, one) => product * one, 1);
    trainable.push(g.initializer(name, tensor('float32', dims, noise(size, name))));
    return name;
  };
  const wide = g.op('MatMul', [features, g.constant(tensor('float32', [2, 36], noise(72, 'image')))]);
  const image = g.op('Reshape', [wide, g.int64s([-1, 1, 6, 6])]);
  const pads = { pads: attr.ints([1, 1, 1, 1]) };
  const found = g.op('Relu', [
    g.op('Conv', [image, weight('kernel', [4, 1, 3, 3]), weight('bias', [4])], pads),
  ]);
  const window = { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) };
  const flat = g.op('Flatten', [g.op('MaxPool', [found], window)]);
  const y = g.op('Gemm', [flat, weight('out', [36, 1])]);
  g.output(y);
  const opsets = { '': 21 };
  return {
    model: { irVersion: 10, opsets, producer: 'test', graph: g.build(), metadata: {} },
    trainable,
    prediction: y,
  };
}

/** The sign of a feature looks a row up in a table. */
function embedding(): Network {
  const g = new GraphBuilder();
  const features = g.input('features', 'float32', ['N', 2]);
  const table = g.initializer('table', tensor('float32', [2, 3], noise(6, 'table')));
  const out = g.initializer('out', tensor('float32', [6, 1], noise(6, 'out')));
  const index = g.op('Cast', [g.op('Greater', [features, g.scalar(0)])], { to: attr.int(7) });
  const y = g.op('MatMul', [g.op('Flatten', [g.op('Gather', [table, index])]), out]);
  g.output(y);
  return {
    model: { irVersion: 10, opsets: { '': 21 }, producer: 'test', graph: g.build(), metadata: {} },
    trainable: [table, out],
    prediction: y,
  };
}

/** A sequence of four steps made of the two features, read both ways. */
function recurrent(op: string, gates: number): Network {
  const g = new GraphBuilder();
  const features = g.input('features', 'float32', ['N', 2]);
  const trainable: string[] = [];
  const weight = (name: string, dims: number[]) => {
    const size = dims.reduce((product, one) => product * one, 1);
    trainable.push(g.initializer(name, tensor('float32', dims, noise(size, name))));
    return name;
  };
  const wide = g.op('MatMul', [features, g.constant(tensor('float32', [2, 12], noise(24, 'steps')))]);
  const steps = g.op('Transpose', [g.op('Reshape', [wide, g.int64s([-1, 4, 3])])], {
    perm: attr.ints([1, 0, 2]),
  });
  const weights = [
    weight('w', [2, gates * 5, 3]),
    weight('r', [2, gates * 5, 5]),
    weight('b', [2, gates * 10]),
  ];
  const attributes = { hidden_size: attr.int(5), direction: attr.string('bidirectional') };
  const [, last] = g.ops(op, [steps, ...weights], attributes, { outputs: 2 });
  const flat = g.op('Flatten', [g.op('Transpose', [last!], { perm: attr.ints([1, 0, 2]) })]);
  const y = g.op('Gemm', [flat, weight('out', [10, 1])]);
  g.output(y);
  return {
    model: { irVersion: 10, opsets: { '': 21 }, producer: 'test', graph: g.build(), metadata: {} },
    trainable,
    prediction: y,
  };
}

const lossesOf = async (engine: typeof onnxEngine | typeof tfjsNodeEngine, one: TrainJob) =>
  (await engine.train(one)).history.map(({ loss }) => loss);

describe.skipIf(absent !== '')(`the tfjs-node engine${absent}`, { timeout: 120_000 }, () => {
  const models: Record<string, () => [Network, ReturnType<typeof plane>]> = {
    dense: () => [classifier(), classes()],
    'dense with dropout': () => [classifier({ dropout: 0.3 }), classes()],
    'batch normalization': () => [normalized(), plane()],
    convolution: () => [convolutional(), plane()],
    embedding: () => [embedding(), plane()],
    LSTM: () => [recurrent('LSTM', 4), plane()],
    GRU: () => [recurrent('GRU', 3), plane()],
  };

  // One batch is an epoch: the history then tells the loss of each of 20 steps.
  it.each(Object.entries(models))('goes the way of the onnx engine: %s', async (_, make) => {
    const [network, data] = make();
    const optimizer = { name: 'sgd', learningRate: 0.02 };
    const inSteps = () => job(network, data, work(), { optimizer, epochs: 20, batchSize: 90, places });
    const [expected, found] = [
      await lossesOf(onnxEngine, inSteps()),
      await lossesOf(tfjsNodeEngine, inSteps()),
    ];
    expect(found).toHaveLength(20);
    expect(Math.min(...found)).toBeLessThan(found[0]!);
    found.forEach((loss, step) => {
      expect(Math.abs(loss / expected[step]! - 1)).toBeLessThan(1e-4);
    });
  });

  it.each(['adam', 'adamw', 'rmsprop', 'lion', 'lamb', 'adagrad'])('has the optimizer %s', async (name) => {
    const changes = { optimizer: { name, learningRate: 0.01 }, clip: { norm: 1 }, epochs: 3, places };
    const make = () => job(classifier(), classes(), work(), changes);
    const [expected, found] = [await lossesOf(onnxEngine, make()), await lossesOf(tfjsNodeEngine, make())];
    found.forEach((loss, epoch) => {
      expect(loss).toBeCloseTo(expected[epoch]!, 3);
    });
  });

  it.each([
    ['accumulate', { accumulate: 3 }],
    ['ema', { ema: { decay: 0.9 } }],
    ['sampling', { sampling: 'balanced' as const }],
  ])('follows %s', async (_, changes) => {
    const optimizer = { name: 'sgd', learningRate: 0.05 };
    const make = () =>
      job(classifier(), classes(), work(), { optimizer, epochs: 4, batchSize: 10, places, ...changes });
    const [expected, found] = [await onnxEngine.train(make()), await tfjsNodeEngine.train(make())];
    const [wanted, given] = [expected, found].map(({ model }) =>
      [...model.graph.initializers.values()].filter(({ dtype }) => dtype === 'float32').flatMap(numbersOf),
    );
    wanted!.forEach((value, at) => {
      expect(given![at]).toBeCloseTo(value, 4);
    });
    const plain = await tfjsNodeEngine.train({
      ...make(),
      accumulate: 1,
      ema: undefined,
      sampling: 'shuffle',
    });
    expect(fingerprint(plain)).not.toBe(fingerprint(found));
  });

  it('writes histograms of weights with TensorFlow’s own writer', async () => {
    const log = work();
    const options = { histogramFreq: 2 };
    const network = classifier();
    await tfjsNodeEngine.train(job(network, classes(), work(), { places, options, log, epochs: 5 }));
    const [file, ...others] = await readdir(join(log, 'weights'));
    expect(others).toEqual([]);
    const { records, end } = decodeRecords(await readFile(join(log, 'weights', file!)));
    expect(end).toBe((await stat(join(log, 'weights', file!))).size);
    // After the version of the format each weight, in the second epoch and in the fourth.
    expect(records).toHaveLength(1 + 2 * network.trainable.length);
  });

  it('ends in the same weights when it was stopped on the way', async () => {
    const make = (folder: string, changes: Partial<TrainJob> = {}) =>
      job(classifier({ dropout: 0.2 }), classes(), folder, {
        places,
        options: { checkpointSeconds: 0 },
        ...changes,
      });
    const whole = fingerprint(await tfjsNodeEngine.train(make(work())));
    const [folder, stopping] = [work(), new AbortController()];
    const stopped = tfjsNodeEngine.train(
      make(folder, {
        signal: stopping.signal,
        onProgress: ({ epoch }) => {
          if (epoch === 3) stopping.abort();
        },
      }),
    );
    await expect(stopped).rejects.toMatchObject({ code: 'MAAS_INTERRUPTED' });
    const rest = await tfjsNodeEngine.train(make(folder));
    expect(rest.notes?.join()).toContain('went on from a checkpoint');
    expect(fingerprint(rest)).toBe(whole);
    // A checkpoint of one engine is none of the other.
    expect((await onnxEngine.train(make(folder))).notes?.join()).toContain('another job or runtime');
  });
});

/** Σ y·w, as one number to derive. */
function emitCase(g: GraphBuilder, check: GradientCase): { inputs: string[]; loss: string } {
  const inputs = check.shapes.map((shape, at) => g.input(`x${at}`, 'float32', shape));
  const sums = check
    .build(g, inputs)
    .map((y) =>
      g.op('ReduceSum', [g.op('Mul', [y, g.op('Add', [y, g.scalar(0.7)])])], { keepdims: attr.int(0) }),
    );
  return { inputs, loss: sums.reduce((sum, one) => g.op('Add', [sum, one])) };
}

const cases = Object.entries(gradientCases).flatMap(([op, list]) =>
  // TensorFlow.js has no double precision.
  list.filter(({ what }) => what !== 'to double').map((check) => ({ title: `${op}, ${check.what}`, check })),
);

describe.skipIf(absent !== '')(`operators of the tfjs-node engine${absent}`, () => {
  const refused: string[] = [];

  it.each(cases)('$title', async ({ title, check }) => {
    const g = new GraphBuilder();
    const { inputs, loss } = emitCase(g, check);
    const forward = { ...g.build(), outputs: [{ name: loss }] };
    const slopes = gradients(g, loss, inputs);
    g.output(loss, 'loss');
    for (const [name, slope] of slopes) g.output(slope, `d_${name}`);
    const opsets = { '': check.opset ?? 21 };
    const model = { irVersion: 10, opsets, producer: 'test', graph: g.build(), metadata: {} };
    const data = check.shapes.map((dims, at) => {
      const size = dims.reduce((product, one) => product * one, 1);
      const values = noise(size, `${title} ${at}`).map((value) => check.domain?.(2 * value) ?? 2 * value);
      return { dtype: 'float32' as const, dims, data: values };
    });
    const session = await openSession(encodeModel(model), { optimization: 'basic' });
    const expected = await session.run(Object.fromEntries(inputs.map((name, at) => [name, data[at]!])));
    await session.close();

    const tf = openTf();
    try {
      const program = openProgram(tf, { graph: forward, opsets });
      const run = tf.tidy(() => {
        const given = data.map(({ dims, data: values }) => tf.tensor(values, dims, 'float32'));
        const { value, grads } = tf.valueAndGrads((...x) => {
          return program.run(new Map(inputs.map((name, at) => [name, x[at]!]))).get(loss)!;
        })(given);
        return { value: value.dataSync(), grads: grads.map((slope) => Array.from(slope.dataSync())) };
      });
      const total = Number(expected['loss']!.data[0]);
      expect(Math.abs(run.value[0]! - total) / Math.max(1, Math.abs(total))).toBeLessThan(1e-3);
      inputs.forEach((name, at) => {
        const wanted = expected[`d_${name}`];
        if (!wanted) return;
        const scale = Math.max(1, ...Array.from(wanted.data as Float32Array, Math.abs));
        run.grads[at]!.forEach((slope, index) => {
          expect(Math.abs(slope - Number(wanted.data[index])) / scale).toBeLessThan(1e-3);
        });
      });
    } catch (error) {
      // What it does not have is refused by name; TensorFlow.js itself names slopes that it lacks.
      const { code, message } = error as MaasError;
      if (code !== 'MAAS_MODEL_UNSUPPORTED' && !/cannot compute gradient/i.test(message)) throw error;
      refused.push(title);
    }
  });

  it('refuses few of them', () => {
    expect(refused.filter((title) => /^(LSTM|GRU|RNN),/.test(title))).toEqual([]);
    expect(refused.length).toBeLessThan(cases.length / 4);
  });
});
