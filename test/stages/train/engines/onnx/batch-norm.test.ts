import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { numbersOf } from '../../../../../src/ir/tensor.js';
import { onnxEngine } from '../../../../../src/stages/train/engines/onnx/index.js';
import { fingerprint, job, normalized, plane } from './jobs.js';

interface Fixture {
  readonly losses: readonly number[];
  readonly weights: Readonly<Record<string, readonly number[]>>;
}

const fixture = new URL('../../../../fixtures/torch/batch-norm.json', import.meta.url);
const { losses, weights } = JSON.parse(readFileSync(fixture, 'utf8')) as Fixture;

let root: string;
let count = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-norm-'));
});
afterAll(() => rm(root, { recursive: true }));

const rows = 12;
const make = (network = normalized(), changes = {}) =>
  job(network, plane(rows), join(root, String(count++)), {
    loss: { name: 'mse' },
    optimizer: { name: 'sgd', learningRate: 0.1 },
    epochs: losses.length,
    batchSize: rows,
    ...changes,
  });

describe('batch normalization in training', () => {
  it('comes to the weights and running statistics that PyTorch comes to', async () => {
    const { model, history } = await onnxEngine.train(make());
    history.forEach(({ loss }, epoch) => {
      expect(loss).toBeCloseTo(losses[epoch]!, 5);
    });
    for (const [name, values] of Object.entries(weights)) {
      const found = numbersOf(model.graph.initializers.get(name)!);
      values.forEach((value, at) => {
        expect(Math.abs(found[at]! - value), `${name}[${at}]`).toBeLessThan(1e-5);
      });
    }
    // What is handed on normalizes with the running statistics.
    const [node] = model.graph.nodes.filter(({ op }) => op === 'BatchNormalization');
    expect(node!.inputs.slice(3)).toEqual(['norm.mean', 'norm.variance']);
  });

  it('leaves the statistics of a frozen one alone', async () => {
    const { model } = await onnxEngine.train(make(normalized({ frozen: true })));
    expect(numbersOf(model.graph.initializers.get('norm.mean')!)).toEqual([0, 0, 0, 0]);
    expect(numbersOf(model.graph.initializers.get('norm.variance')!)).toEqual([1, 1, 1, 1]);
  });

  it('is taken up again in the same bits', async () => {
    const changes = { batchSize: 5, options: { stepsPerRun: 1 } };
    const unbroken = fingerprint(await onnxEngine.train(make(normalized(), changes)));
    const broken = make(normalized(), changes);
    let looks = 0;
    const signal = {
      get aborted() {
        return looks++ >= 7;
      },
    } as AbortSignal;
    await expect(onnxEngine.train({ ...broken, signal })).rejects.toMatchObject({ code: 'MAAS_INTERRUPTED' });
    expect(fingerprint(await onnxEngine.train(broken))).toBe(unbroken);
  });
});
