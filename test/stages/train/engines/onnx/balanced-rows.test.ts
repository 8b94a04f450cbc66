import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { balancedRows, listMembers } from '../../../../../src/stages/train/engines/onnx/balanced-rows.js';
import { onnxEngine } from '../../../../../src/stages/train/engines/onnx/index.js';
import { classes, classifier, fingerprint, job } from './jobs.js';

const spread = (counts: readonly number[]) => Math.max(...counts) - Math.min(...counts);

it('takes all classes alike, and all rows of a class alike', () => {
  const labels = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(labels, fc.nat(), fc.nat({ max: 50 }), (indices, seed, epoch) => {
      const order = balancedRows(listMembers(indices), indices.length, seed, epoch);
      expect(order).toHaveLength(indices.length);
      const present = [...new Set(indices)];
      const taken = Array.from(order, (row) => indices[row]!);
      expect(spread(present.map((one) => taken.filter((index) => index === one).length))).toBeLessThanOrEqual(
        1,
      );
      for (const one of present) {
        const rows = [...indices.keys()].filter((row) => indices[row] === one);
        expect(spread(rows.map((row) => order.filter((other) => other === row).length))).toBeLessThanOrEqual(
          1,
        );
      }
      expect(balancedRows(listMembers(indices), indices.length, seed, epoch)).toEqual(order);
    }),
  );
});

it('gives every row its turn over the epochs, and mixes the classes', () => {
  const indices = [...new Array<number>(90).fill(0), ...new Array<number>(10).fill(1)];
  const epochs = Array.from({ length: 30 }, (_, epoch) => balancedRows(listMembers(indices), 100, 7, epoch));
  expect(new Set(epochs.flatMap((order) => [...order])).size).toBe(100);
  const changes = epochs[0]!.filter(
    (row, at) => at > 0 && indices[row] !== indices[epochs[0]![at - 1]!],
  ).length;
  expect(changes).toBeGreaterThan(30);
});

it('is taken up again with the same bits', async () => {
  const root = await mkdtemp(join(tmpdir(), 'maas-balanced-'));
  try {
    const make = (name: string) =>
      job(classifier(), classes(), join(root, name), {
        epochs: 2,
        sampling: 'balanced',
        options: { stepsPerRun: 1 },
      });
    const unbroken = fingerprint(await onnxEngine.train(make('whole')));
    expect(unbroken).not.toBe(fingerprint(await onnxEngine.train({ ...make('plain'), sampling: 'shuffle' })));
    let looks = 0;
    const signal = {
      get aborted() {
        return looks++ >= 8;
      },
    } as AbortSignal;
    await expect(onnxEngine.train({ ...make('broken'), signal })).rejects.toThrow('stopped');
    expect(fingerprint(await onnxEngine.train(make('broken')))).toBe(unbroken);
  } finally {
    await rm(root, { recursive: true });
  }
});
