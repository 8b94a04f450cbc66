import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSignature } from '../../../src/data/index.js';
import { openSession } from '../../../src/runtime/session.js';
import { trainIn, type Setup } from './train-in.js';

describe('a reconstruction', () => {
  let root: string;
  let folder: string;
  const train = (setup: Setup) => trainIn(root, setup);
  const data = {
    ...{ source: 'rows.csv', target: 'strangeness', task: 'reconstruction' },
    split: { train: 0.6, validation: 0.2, test: 0.2, by: 'hash' },
  };
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'maas-reconstruction-'));
    folder = join(root, 'rows');
    await mkdir(folder);
    // Six numbers and a text, all of them told by one angle.
    const lines = Array.from({ length: 160 }, (_, row) => {
      const angle = 0.37 * row;
      const numbers = [1, 2, 3, 4, 5, 6].map((each) => (each * Math.sin(angle + each)).toFixed(4));
      return [...numbers, Math.sin(angle) > 0 ? 'up' : 'down'].join(',');
    });
    await writeFile(join(folder, 'rows.csv'), ['a,b,c,d,e,f,way', ...lines].join('\n'));
  });
  afterAll(() => rm(root, { recursive: true }));

  it('predicts how badly a row comes back', async () => {
    const model = { preset: { autoencoder: { units: [16, 3], activation: 'tanh' } } };
    const { run } = await train({ folder, data, train: { model, epochs: 100 } });
    const { mae, r2 } = run.result.metrics as Record<string, number>;
    // Of what does not come back at all it is 6 for six scaled numbers, over eight.
    expect(mae).toBeLessThan(0.3);
    expect(r2).toBeUndefined();
    const signature = await readSignature(join(run.out, 'signature.json'));
    expect(signature).toMatchObject({
      task: 'regression',
      reconstructs: true,
      target: { name: 'strangeness' },
    });
    const session = await openSession(join(run.out, 'model.onnx'));
    const rows = [
      [1, 2, 3, 4, 5, 6].map((each) => each * Math.sin(0.5 + each)),
      [1, 2, 3, 4, 5, 6].map((each) => each * Math.sin(0.5 + each) * (each % 2 ? 1 : -1)),
    ];
    const { prediction } = await session.run({
      features: { dtype: 'float32', dims: [2, 6], data: Float32Array.from(rows.flat()) },
      way: { dtype: 'string', dims: [2, 1], data: ['up', 'up'] },
    });
    await session.close();
    const [usual, strange] = prediction!.data as Float32Array;
    expect(strange).toBeGreaterThan(5 * usual!);
  });

  it.each<[string, Setup, object]>([
    ['a loss', { train: { loss: 'mse' } }, { code: 'MAAS_CONFIG_INVALID', hint: 'Leave train.loss out.' }],
    [
      'a figure of a target',
      { train: { gates: { r2: { min: 0 } } } },
      { code: 'MAAS_CONFIG_INVALID', hint: 'The figures are: mse, rmse, mae, medianAbsoluteError.' },
    ],
    [
      'the name of a column',
      { data: { ...data, target: 'c' } },
      { code: 'MAAS_DATA_COLUMN', message: expect.stringContaining('there is a column "c"') as string },
    ],
    [
      'another number of outputs',
      { train: { model: { layers: [{ dense: { units: 3 } }, { dense: { units: 2 } }] } } },
      { code: 'MAAS_MODEL_SHAPE', hint: 'Write units: 8, or leave units out.' },
    ],
    [
      'a source that is larger than memory',
      { data: { ...data, memory: 0 } },
      { code: 'MAAS_DATA_COLUMN', hint: expect.stringContaining('Raise data.memory') as string },
    ],
    [
      'columns that are learned',
      { data: { ...data, transforms: { categories: 'embedding' } } },
      { code: 'MAAS_MODEL_SHAPE', hint: 'Choose oneHot or hashing in place of embedding.' },
    ],
  ])('refuses %s', async (_, setup, error) => {
    await expect(train({ folder, data, ...setup })).rejects.toMatchObject(error);
  });
});
