import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSignature } from '../../../src/data/index.js';
import { openSession } from '../../../src/runtime/session.js';
import { trainIn, type Setup } from './train-in.js';

describe('a model with several targets', () => {
  let root: string;
  let folder: string;
  const train = (setup: Setup) => trainIn(root, setup);
  const data = {
    ...{ source: 'rows.csv', target: ['kind', 'amount'], missing: { target: 'drop' } },
    split: { train: 0.6, validation: 0.2, test: 0.2 },
  };
  const layers = [{ dense: { units: 16, activation: 'tanh' } }, 'dense'];
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'maas-several-'));
    folder = join(root, 'rows');
    await mkdir(folder);
    const lines = Array.from({ length: 200 }, (_, row) => {
      const [a, b] = [Math.sin(1.7 * row), Math.cos(2.9 * row)];
      const kind = a > 0.3 ? 'high' : a < -0.3 ? 'low' : 'middle';
      return [
        a.toFixed(4),
        b.toFixed(4),
        row === 7 ? '' : kind,
        row === 9 ? '' : (5000 + 900 * b).toFixed(2),
      ].join(',');
    });
    await writeFile(join(folder, 'rows.csv'), ['a,b,kind,amount', ...lines].join('\n'));
  });
  afterAll(() => rm(root, { recursive: true }));

  it('predicts each of them, and is measured and held to gates by each', async () => {
    const { run } = await train({
      ...{ folder, data },
      train: {
        ...{ model: { layers }, optimizer: { adam: { learningRate: 0.03 } }, epochs: 60 },
        ...{ losses: { amount: { huber: { delta: 2 } } }, lossWeights: { amount: 2 } },
        gates: {
          'accuracy of kind': { min: 0.8 },
          'recall.low of kind': { min: 0.7 },
          'r2 of amount': { min: 0.9 },
        },
        earlyStopping: { monitor: 'validationAccuracy of kind', patience: 60 },
      },
    });
    const { metrics, notes } = run.result as { metrics: Record<string, unknown>; notes: string[] };
    expect(metrics['r2 of amount']).toBeGreaterThan(0.9);
    expect(metrics['confusion']).toMatchObject({ kind: { labels: ['high', 'low', 'middle'] } });
    expect(notes).toContain('left out 2 rows without a value for kind or amount');
    const signature = await readSignature(join(run.out, 'signature.json'));
    expect(signature).toMatchObject({
      ...{
        task: 'classification',
        target: { name: 'kind' },
        others: [{ name: 'amount', task: 'regression' }],
      },
      outputs: [
        { name: 'kind.label', dtype: 'string', shape: ['N'] },
        { name: 'kind.probabilities', dtype: 'float32', shape: ['N', 3] },
        { name: 'amount.prediction', dtype: 'float32', shape: ['N'] },
      ],
    });
    expect(signature.features.map(({ name }) => name)).toEqual(['a', 'b']);
    const session = await openSession(join(run.out, 'model.onnx'));
    const features = { dtype: 'float32' as const, dims: [2, 2], data: Float32Array.from([0.9, 0, -0.9, 1]) };
    const answers = await session.run({ features });
    await session.close();
    expect(answers['kind.label']!.data).toEqual(['high', 'low']);
    const [none, one] = answers['amount.prediction']!.data as Float32Array;
    expect(Math.abs(none! - 5000)).toBeLessThan(250);
    expect(Math.abs(one! - 5900)).toBeLessThan(250);
  });

  it('learns by the weighted sum of the losses', async () => {
    const lossesOf = async (lossWeights: Record<string, number>): Promise<number> => {
      const one = { model: { layers }, epochs: 1, batchSize: 1000, lossWeights };
      const { run } = await train({ folder, data, train: one });
      const { epochs } = JSON.parse(await readFile(join(run.out, 'history.json'), 'utf8')) as {
        epochs: { loss: number }[];
      };
      return epochs[0]!.loss;
    };
    const [kind, amount] = [await lossesOf({ amount: 0 }), await lossesOf({ kind: 0 })];
    expect(await lossesOf({ kind: 3, amount: 0.5 })).toBeCloseTo(3 * kind + 0.5 * amount, 5);
  });

  it('takes no target whose name is a number for the first', async () => {
    const years = join(root, 'years');
    await mkdir(years);
    const text = await readFile(join(folder, 'rows.csv'), 'utf8');
    await writeFile(join(years, 'rows.csv'), text.replace('amount', '2025'));
    const lossOf = async (lossWeights: Record<string, number>): Promise<number> => {
      const { run } = await train({
        ...{ folder: years, data: { ...data, target: ['kind', '2025'] } },
        train: { model: { layers }, epochs: 1, batchSize: 1000, lossWeights },
      });
      const { epochs } = JSON.parse(await readFile(join(run.out, 'history.json'), 'utf8')) as {
        epochs: { loss: number }[];
      };
      return epochs[0]!.loss;
    };
    const [kind, both] = [await lossOf({ 2025: 0 }), await lossOf({ kind: 2, 2025: 0 })];
    expect(kind).toBeGreaterThan(0);
    expect(both).toBeCloseTo(2 * kind, 5);
  });

  it.each<[string, Setup, string, string]>([
    [
      'a loss for the whole',
      { train: { loss: 'mse' } },
      'train.loss: the model has several',
      'Write losses: {kind: mse}.',
    ],
    [
      'a loss of nothing',
      { train: { losses: { size: 'mse' } } },
      'no target "size"',
      'Targets: kind, amount.',
    ],
    [
      'a loss that does not fit',
      { train: { losses: { kind: 'mse' } } },
      'train.losses.kind mse is for regression',
      '',
    ],
    ['no weight at all', { train: { lossWeights: { kind: 0, amount: 0 } } }, 'no target counts', ''],
    [
      'a figure of which it does not say',
      { train: { gates: { accuracy: { min: 0 } } } },
      'several targets',
      'Say of which: accuracy of kind.',
    ],
    ['a figure of another kind', { train: { gates: { 'r2 of kind': { min: 0 } } } }, 'no r2 of classes', ''],
    [
      'an activation at the end',
      { train: { model: { layers: [{ dense: { activation: 'softmax' } }] } } },
      'function of its own',
      'Leave activation out.',
    ],
    [
      'another number of outputs',
      { train: { model: { layers: [{ dense: { units: 3 } }] } } },
      '4 outputs (kind: 3, amount: 1)',
      'Write units: 4',
    ],
    [
      'a source that is larger than memory',
      { data: { ...data, memory: 0 } },
      'several targets are for data in memory',
      'data.memory',
    ],
    [
      'losses by name where there is one target',
      { data: { ...data, target: 'kind', exclude: ['amount'] }, train: { losses: { kind: 'mse' } } },
      'train.losses: is for several',
      'write train.loss',
    ],
  ])('names the place of %s', async (_, setup, message, hint) => {
    const section = { model: { layers }, epochs: 1, ...setup.train };
    await expect(train({ folder, data, ...setup, train: section })).rejects.toMatchObject({
      message: expect.stringContaining(message) as string,
      hint: expect.stringContaining(hint) as string,
    });
  });
});
