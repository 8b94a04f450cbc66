import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../../../src/ir/builder.js';
import { encodeModel } from '../../../../../src/ir/onnx/save.js';
import { tensor, valuesOf } from '../../../../../src/ir/tensor.js';
import type { TrainProgress } from '../../../../../src/plugin/api.js';
import { sliceRows } from '../../../../../src/data/rows.js';
import { openSession } from '../../../../../src/runtime/session.js';
import { onnxEngine } from '../../../../../src/stages/train/engines/onnx/index.js';
import { classes, classifier, fingerprint, job, line, plane } from './jobs.js';

let work: string;
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'maas-train-'));
});
afterEach(() => rm(work, { recursive: true }));

const sgd = (learningRate: number, more = {}) => ({ name: 'sgd', learningRate, ...more });

describe('onnxEngine', () => {
  it('learns to classify numbers and words', async () => {
    const outcome = await onnxEngine.train(
      job(classifier(), classes(300), work, { epochs: 60, batchSize: 32 }),
    );
    const [first, last] = [outcome.history[0]!, outcome.history.at(-1)!];
    expect(outcome.history.map(({ epoch }) => epoch)).toEqual(
      Array.from({ length: 60 }, (_, index) => index + 1),
    );
    expect(last.loss).toBeLessThan(first.loss / 4);
    expect(last['validationAccuracy']).toBeGreaterThan(0.9);
    expect(outcome.notes).toEqual([]);
  });

  it('hands back the model, with other weights only', async () => {
    const network = classifier();
    const data = classes();
    const { model } = await onnxEngine.train(job(network, data, work));
    expect(model.graph.nodes).toEqual(network.model.graph.nodes);
    expect(model.graph.outputs).toEqual(network.model.graph.outputs);
    for (const [name, before] of network.model.graph.initializers) {
      const same = isDeepStrictEqual(model.graph.initializers.get(name), before);
      expect([name, same]).toEqual([name, !network.trainable.includes(name)]);
    }
    const session = await openSession(encodeModel(model));
    const found = await session.run(sliceRows(data.splits.test.inputs, 0, 40));
    expect(found['label']!.dims).toEqual([40]);
    await session.close();
  });

  it('makes the step of the formula', async () => {
    const network = line();
    const data = plane(4);
    const { model, history } = await onnxEngine.train(
      job(network, data, work, { epochs: 1, batchSize: 4, optimizer: sgd(0.5) }),
    );
    const values = (from: typeof model, name: string) =>
      Array.from(valuesOf(from.graph.initializers.get(name)!), Number);
    const [w1, w2] = values(network.model, 'line.weight') as [number, number];
    const x = data.splits.train.inputs['features']!.data as Float32Array;
    const y = data.splits.train.target.data as Float32Array;
    const errors = [0, 1, 2, 3].map((row) => w1 * x[2 * row]! + w2 * x[2 * row + 1]! - y[row]!);
    // L = 1/(2n) Σ e², so ∂L/∂w = 1/n Σ e·x.
    expect(history[0]!.loss).toBeCloseTo(errors.reduce((sum, error) => sum + error ** 2, 0) / 8, 5);
    const slope = (column: number) =>
      errors.reduce((sum, error, row) => sum + error * x[2 * row + column]!, 0) / 4;
    const [n1, n2] = values(model, 'line.weight') as [number, number];
    expect(n1).toBeCloseTo(w1 - 0.5 * slope(0), 5);
    expect(n2).toBeCloseTo(w2 - 0.5 * slope(1), 5);
    expect(values(model, 'line.bias')[0]).toBeCloseTo(
      -0.5 * (errors.reduce((sum, error) => sum + error, 0) / 4),
      5,
    );
  });

  it('finds a plane', async () => {
    const { model } = await onnxEngine.train(
      job(line(), plane(), work, { epochs: 60, optimizer: sgd(0.3, { momentum: 0.9, nesterov: true }) }),
    );
    const weights = ['line.weight', 'line.bias'].flatMap((name) =>
      Array.from(valuesOf(model.graph.initializers.get(name)!), Number),
    );
    [2, -3, 1].forEach((value, index) => {
      expect(weights[index]).toBeCloseTo(value, 4);
    });
  });

  it('gives each row the same weight, however the last batch comes out', async () => {
    const still = (batchSize: number) =>
      onnxEngine.train(
        job(classifier(), classes(), join(work, String(batchSize)), {
          batchSize,
          epochs: 1,
          optimizer: sgd(0),
        }),
      );
    const [whole, parts, large] = await Promise.all([still(90), still(7), still(500)]);
    expect(parts.history[0]!.loss).toBeCloseTo(whole.history[0]!.loss, 5);
    expect(large.history[0]!.loss).toBe(whole.history[0]!.loss);
    expect(parts.history[0]!['validationLoss']).toBe(whole.history[0]!['validationLoss']);
  });

  it('ends in the same bits with the same seed, and in others with another', async () => {
    const train = async (seed: number, folder: string) =>
      fingerprint(
        await onnxEngine.train(job(classifier({ dropout: 0.3 }), classes(), join(work, folder), { seed })),
      );
    const [one, two, other] = await Promise.all([train(1, 'a'), train(1, 'b'), train(2, 'c')]);
    expect(two).toBe(one);
    expect(other).not.toBe(one);
  });

  it('leaves no dropout in the model, and measures without it', async () => {
    const changes = { epochs: 1, optimizer: sgd(0) };
    const without = await onnxEngine.train(job(classifier(), classes(), join(work, 'a'), changes));
    const dropped = await onnxEngine.train(
      job(classifier({ dropout: 0.5 }), classes(), join(work, 'b'), changes),
    );
    expect(dropped.model.graph.nodes.map(({ op }) => op)).not.toContain('Dropout');
    expect(dropped.history[0]!.loss).not.toBe(without.history[0]!.loss);
    expect(dropped.history[0]!['validationLoss']).toBe(without.history[0]!['validationLoss']);
  });

  it('takes a probability of class 1', async () => {
    const g = new GraphBuilder();
    const x = g.input('features', 'float32', ['N', 2]);
    const w = g.initializer('w', tensor('float32', [2, 1], [0.1, 0.1]));
    const prediction = g.op('Sigmoid', [g.op('MatMul', [x, w])]);
    g.output(prediction);
    const model = { irVersion: 10, opsets: { '': 21 }, producer: '', graph: g.build(), metadata: {} };
    const data = classes();
    const splits = Object.fromEntries(
      Object.entries(data.splits).map(([name, table]) => {
        const features = table.inputs['features']!.data as Float32Array;
        const ones = BigInt64Array.from({ length: table.rows }, (_, row) =>
          features[2 * row]! > features[2 * row + 1]! ? 1n : 0n,
        );
        return [name, { ...table, target: { ...table.target, data: ones } }];
      }),
    ) as unknown as typeof data.splits;
    const { history } = await onnxEngine.train(
      job({ model, trainable: ['w'], prediction }, { ...data, splits }, work, {
        loss: { name: 'binaryCrossentropy' },
        epochs: 40,
        optimizer: sgd(1),
      }),
    );
    expect(history.at(-1)!['validationAccuracy']).toBeGreaterThan(0.95);
  });

  it('reports every epoch and not much more', async () => {
    const seen: TrainProgress[] = [];
    const { history } = await onnxEngine.train(
      job(classifier(), classes(), work, {
        epochs: 5,
        batchSize: 4,
        onProgress: (progress) => seen.push(progress),
      }),
    );
    const ends = seen.filter(({ validation }) => validation);
    expect(ends.map(({ epoch, epochs, step, steps }) => [epoch, epochs, step, steps])).toEqual(
      [1, 2, 3, 4, 5].map((epoch) => [epoch, 5, 23, 23]),
    );
    expect(ends.map(({ loss }) => loss)).toEqual(history.map(({ loss }) => loss));
    expect(ends.at(-1)!.eta).toBe(0);
    expect(ends.every(({ samplesPerSecond }) => samplesPerSecond > 0)).toBe(true);
    expect(seen.length).toBeLessThan(50);
  });

  it('leaves this thread free while it computes', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const start = performance.now();
    await onnxEngine.train(job(classifier({ units: 4000 }), classes(), work, { epochs: 30 }));
    const spent = performance.now() - start;
    clearInterval(timer);
    // In this thread, runs would hold timers up for 60 ms each.
    expect(spent / ticks).toBeLessThan(20);
  });
});

describe('onnxEngine refuses', () => {
  it('a loss that is no number', async () => {
    const run = onnxEngine.train(job(line(), plane(), work, { optimizer: sgd(1e20) }));
    await expect(run).rejects.toMatchObject({
      code: 'MAAS_TRAIN_DIVERGED',
      message: expect.stringMatching(/^the loss is (NaN|Infinity) at epoch 1, step [2-5]$/) as string,
    });
  });

  it('weights that overflow in the last step', async () => {
    const changes = { optimizer: sgd(Number.MAX_VALUE), epochs: 1, batchSize: 90 };
    await expect(onnxEngine.train(job(line(), plane(), work, changes))).rejects.toMatchObject({
      code: 'MAAS_TRAIN_DIVERGED',
      message: 'weights of line.weight are no longer numbers at epoch 1, step 1',
    });
  });

  it.each<[string, string, Parameters<typeof job>[3]]>([
    ['an old operator set', 'MAAS_MODEL_UNSUPPORTED', { model: { ...line().model, opsets: { '': 11 } } }],
    ['nothing to train', 'MAAS_MODEL_UNSUPPORTED', { trainable: [] }],
    ['an unknown optimizer', 'MAAS_CONFIG_INVALID', { optimizer: { name: 'magic', learningRate: 1 } }],
    ['an unknown loss', 'MAAS_CONFIG_INVALID', { loss: { name: 'constructor' } }],
    ['classes for a value', 'MAAS_MODEL_SHAPE', { loss: { name: 'sparseCategoricalCrossentropy' } }],
  ])('%s', async (_, code, changes) => {
    await expect(onnxEngine.train(job(line(), plane(), work, changes))).rejects.toMatchObject({ code });
  });

  it('an operator without a gradient, by name', async () => {
    const network = line();
    const nodes = network.model.graph.nodes.map((node) =>
      node.op === 'Squeeze' ? { ...node, op: 'Mystery' } : node,
    );
    const model = { ...network.model, graph: { ...network.model.graph, nodes } };
    await expect(onnxEngine.train(job({ ...network, model }, plane(), work))).rejects.toThrow(
      /Mystery \(node prediction\)/,
    );
  });

  it('a model whose input is not in the data', async () => {
    await expect(onnxEngine.train(job(classifier(), plane(), work))).rejects.toThrow(/input colour/);
  });
});
