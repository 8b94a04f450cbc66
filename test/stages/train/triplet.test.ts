import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { trainIn, type Setup } from './train-in.js';

describe('a classifier trained by triplets', () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'maas-triplet-'));
  });
  afterAll(() => rm(root, { recursive: true }));

  it('says labels as well as one trained by cross-entropy', async () => {
    const section = { epochs: 30 };
    const usual = await trainIn(root, { train: section });
    const { out, metrics } = await trainIn(root, { train: { ...section, loss: { triplet: { margin: 1 } } } });
    expect(metrics['accuracy']).toBeGreaterThan((usual.metrics['accuracy'] as number) - 0.05);
    const { epochs } = JSON.parse(await readFile(join(out, 'history.json'), 'utf8')) as {
      epochs: { loss: number; validationLoss: number }[];
    };
    expect(epochs.at(-1)!.loss).toBeLessThan(epochs[0]!.loss / 2);
    expect(epochs.every(({ validationLoss }) => Number.isFinite(validationLoss))).toBe(true);
  });

  it('trains through dropout and batch normalization', async () => {
    const layers = [
      { dense: { units: 16 } },
      'batchNormalization',
      { activation: 'relu' },
      { dropout: { rate: 0.2 } },
      'dense',
    ];
    const { metrics } = await trainIn(root, { train: { model: { layers }, epochs: 30, loss: 'triplet' } });
    expect(metrics['accuracy']).toBeGreaterThan(0.85);
  });

  it.each<[string, Setup, string]>([
    ['a model of one layer', { train: { model: { layers: ['dense'] } } }, 'no weight before the last dense'],
    ['amounts', { data: { target: 'petal_length' } }, 'train.loss triplet is for classification'],
    [
      'several targets',
      {
        data: { target: ['species', 'petal_length'] },
        train: { loss: undefined, losses: { species: 'triplet' } },
      },
      'train.losses.species: triplet is for a model with one target',
    ],
    [
      'several targets at once',
      { data: { target: ['species', 'petal_length'] } },
      'train.loss: triplet is for a model with one target',
    ],
    ['a margin of nothing', { train: { loss: { triplet: { margin: 0 } } } }, 'margin'],
  ])('refuses %s', async (_, setup, message) => {
    const section = { epochs: 1, loss: 'triplet', ...setup.train };
    await expect(trainIn(root, { ...setup, train: section })).rejects.toThrow(message);
  });
});
