import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { numbersOf } from '../../../../../src/ir/tensor.js';
import type { TrainJob, TrainOutcome } from '../../../../../src/plugin/api.js';
import type { Ranks } from '../../../../../src/runtime/mpi/join-ranks.js';
import { onnxEngine } from '../../../../../src/stages/train/engines/onnx/index.js';
import { classes, classifier, fingerprint, job, normalized, plane } from './jobs.js';

let work: string;
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'maas-ranks-'));
});
afterEach(() => rm(work, { recursive: true }));

/** Ranks within this process: each call waits for that of all others, as MPI's do. */
function meet(size: number): Ranks[] {
  let waiting: { readonly rank: number; readonly value: unknown; readonly go: (all: unknown[]) => void }[] =
    [];
  const gather = (rank: number, value: unknown) =>
    new Promise<unknown[]>((go) => {
      waiting.push({ rank, value, go });
      if (waiting.length < size) return;
      const all = waiting.sort((a, b) => a.rank - b.rank);
      waiting = [];
      const values = all.map((each) => each.value);
      for (const each of all) each.go(values);
    });
  return Array.from({ length: size }, (_, rank) => ({
    rank,
    size,
    async sum(values) {
      const all = (await gather(rank, values.slice())) as Float32Array[];
      values.fill(0);
      for (const part of all) values.forEach((_, at) => (values[at]! += part[at]!));
    },
    share: async (bytes) => (await gather(rank, bytes))[0] as Uint8Array,
    close: () => undefined,
  }));
}

/** The same job on so many ranks; gives what rank 0 has. */
async function trainOn(size: number, given: TrainJob): Promise<TrainOutcome> {
  await mkdir(given.work, { recursive: true });
  const jobs = meet(size).map((ranks) => ({ ...given, ranks }));
  const outcomes = await Promise.all(jobs.map((each) => onnxEngine.train(each)));
  for (const each of outcomes) expect(fingerprint(each)).toBe(fingerprint(outcomes[0]!));
  return outcomes[0]!;
}

const weightsOf = ({ model }: TrainOutcome): number[] =>
  [...model.graph.initializers.values()].flatMap((each) =>
    each.dtype === 'float32' ? [...numbersOf(each)].map(Number) : [],
  );

const furthest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, at) => Math.abs(value - b[at]!)));

describe('training on several ranks', () => {
  // 90 rows in batches of 22: five steps an epoch, and the last batch has two rows, fewer than four ranks.
  const settings = { epochs: 20, batchSize: 22 };

  it.each([
    ['sgd', { optimizer: { name: 'sgd', learningRate: 0.3 } }],
    ['dropout', { optimizer: { name: 'sgd', learningRate: 0.1, momentum: 0.9 } }],
    [
      'gathered, averaged and balanced',
      {
        optimizer: { name: 'sgd', learningRate: 0.3 },
        ...{ accumulate: 2, ema: { decay: 0.9 }, sampling: 'balanced' as const },
      },
    ],
    ['clipped', { optimizer: { name: 'sgd', learningRate: 0.3 }, clip: { norm: 0.5 } }],
  ] as const)('takes the same 100 steps as one process: %s', async (name, more) => {
    const network = classifier({ dropout: name === 'dropout' ? 0.2 : 0 });
    const make = (folder: string) => job(network, classes(), join(work, folder), { ...settings, ...more });
    await mkdir(join(work, 'alone'));
    const alone = await onnxEngine.train(make('alone'));
    for (const size of name === 'sgd' ? [1, 2, 4] : [4]) {
      const together = await trainOn(size, make(`on-${size}`));
      expect(
        furthest(
          alone.history.map(({ loss }) => loss),
          together.history.map(({ loss }) => loss),
        ),
      ).toBeLessThan(1e-5);
      expect(furthest(weightsOf(alone), weightsOf(together))).toBeLessThan(1e-4);
      expect(together.notes!.at(-1)).toMatch(new RegExp(`^${size} ranks, each step: compute`));
    }
  });

  it('normalizes each part of a batch by itself, and has the mean of their statistics everywhere', async () => {
    const rate = { optimizer: { name: 'sgd', learningRate: 0 }, epochs: 1, batchSize: 90 };
    const make = (folder: string) => job(normalized(), plane(), join(work, folder), rate);
    await mkdir(join(work, 'alone'));
    const statistics = ({ model }: TrainOutcome, name: string) =>
      [...numbersOf(model.graph.initializers.get(name)!)].map(Number);
    const alone = await onnxEngine.train(make('alone'));
    const together = await trainOn(2, make('together'));
    const [mean, spread] = ['norm.mean', 'norm.variance'];
    expect(furthest(statistics(alone, mean), statistics(together, mean))).toBeLessThan(1e-6);
    // The variance within the parts: that between their means is missing. Each part is a sample of half as many rows.
    const sampled = 45 / 44 / (90 / 89);
    statistics(together, spread).forEach((value, at) => {
      expect(value).toBeLessThanOrEqual(sampled * statistics(alone, spread)[at]! + 1e-6);
      expect(value).toBeGreaterThan(0.8 * statistics(alone, spread)[at]!);
    });
  });

  it('stops all ranks after the same step, and goes on from rank 0’s checkpoint, on fewer ranks too', async () => {
    const given = job(classifier(), classes(), join(work, 'whole'), settings);
    const whole = await trainOn(2, given);
    for (const size of [2, 1]) {
      const folder = join(work, `stopped-${size}`);
      await mkdir(folder);
      const stop = new AbortController();
      const parts = meet(2).map((ranks) =>
        onnxEngine.train({
          ...given,
          work: folder,
          ranks,
          // Only one of them is told.
          ...(ranks.rank === 1 && { signal: stop.signal }),
          onProgress: ({ epoch }) => {
            if (epoch === 7) stop.abort();
          },
        }),
      );
      const ends = await Promise.allSettled(parts);
      expect(ends.map((end) => end.status === 'rejected' && (end.reason as { code: string }).code)).toEqual([
        'MAAS_INTERRUPTED',
        'MAAS_INTERRUPTED',
      ]);
      const resumed = await trainOn(size, { ...given, work: folder });
      expect(resumed.notes![0]).toMatch(/^went on from a checkpoint: epoch [78] /);
      if (size === 2) expect(fingerprint(resumed)).toBe(fingerprint(whole));
      else expect(furthest(weightsOf(resumed), weightsOf(whole))).toBeLessThan(1e-3);
    }
  });

  it('goes by the validation of rank 0 where ranks would not agree when to stop', async () => {
    const stopping = { monitor: 'validationLoss', mode: 'auto', minDelta: 0, patience: 1 } as const;
    const given: TrainJob = {
      ...job(classifier(), classes(), work, { ...settings, optimizer: { name: 'sgd', learningRate: 0.1 } }),
      earlyStopping: { ...stopping, startFromEpoch: 0, restoreBestWeights: true },
    };
    // To this rank each epoch is worse than the one before.
    const { validation } = given.dataset.splits;
    const target = { ...validation.target, data: new BigInt64Array(validation.rows) };
    const splits = { ...given.dataset.splits, validation: { ...validation, target } };
    const [first, second] = meet(2);
    const [a, b] = await Promise.all([
      onnxEngine.train({ ...given, ranks: first! }),
      onnxEngine.train({ ...given, ranks: second!, dataset: { ...given.dataset, splits } }),
    ]);
    expect(b.history).toEqual(a.history);
    expect(fingerprint(b)).toBe(fingerprint(a));
  });

  it('stops all ranks when the loss of one is no number', async () => {
    const given = job(classifier(), classes(), work, settings);
    const ends = await Promise.allSettled(
      meet(2).map((ranks) =>
        onnxEngine.train({
          ...given,
          ranks: {
            ...ranks,
            sum: async (values) => {
              if (ranks.rank === 1) values[0] = NaN;
              await ranks.sum(values);
            },
          },
        }),
      ),
    );
    expect(ends.map((end) => end.status === 'rejected' && (end.reason as { code: string }).code)).toEqual([
      'MAAS_TRAIN_DIVERGED',
      'MAAS_TRAIN_DIVERGED',
    ]);
  });

  it('refuses ranks with other data', async () => {
    const [first, second] = meet(2);
    const given = (ranks: Ranks, rows: number) => ({
      ...job(classifier(), classes(rows), work, settings),
      ranks,
    });
    const ends = await Promise.allSettled([
      // What this one waits for never comes; in earnest mpirun ends it.
      Promise.race([onnxEngine.train(given(first!, 90)), new Promise((resolve) => setTimeout(resolve, 500))]),
      onnxEngine.train(given(second!, 80)),
    ]);
    expect(ends[1]).toMatchObject({ reason: { code: 'MAAS_RANKS_FAILED' } });
  });
});
