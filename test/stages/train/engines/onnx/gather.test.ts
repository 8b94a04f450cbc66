import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TrainJob, TrainOutcome } from '../../../../../src/plugin/api.js';
import { onnxEngine } from '../../../../../src/stages/train/engines/onnx/index.js';
import { planTurns } from '../../../../../src/stages/train/engines/onnx/turns.js';
import { toNdArray } from '../../../../../src/ir/tensor.js';
import { classes, classifier, fingerprint, job, normalized, plane } from './jobs.js';

let root: string;
let count = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-gather-'));
});
afterAll(() => rm(root, { recursive: true }));

const data = classes();
const make = (changes: Partial<TrainJob> = {}, dropout = 0) =>
  job(classifier({ dropout }), data, join(root, `work-${count++}`), changes);

function weightsOf({ model }: Pick<TrainOutcome, 'model'>, { trainable }: TrainJob): number[] {
  return trainable.flatMap((name) =>
    Array.from(toNdArray(model.graph.initializers.get(name)!).data as ArrayLike<number>, Number),
  );
}

function furthest(one: readonly number[], other: readonly number[]): number {
  return Math.max(...one.map((value, at) => Math.abs(value - other[at]!)));
}

describe('turns', () => {
  it('part the batches of an epoch as larger batches would part its rows', () => {
    const sizes = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(sizes, sizes, fc.integer({ min: 1, max: 6 }), (rows, batchSize, accumulate) => {
        const dataset = { ...data, splits: { ...data.splits, train: { ...data.splits.train, rows } } };
        const plan = planTurns({ accumulate, batchSize, dataset });
        const large = Math.ceil(rows / (batchSize * accumulate));
        expect(plan.perEpoch).toBe(large);
        const turns = Array.from({ length: 2 * Math.ceil(rows / batchSize) }, (_, step) => plan.at(step + 1));
        expect(turns.filter(({ ends }) => ends)).toHaveLength(2 * large);
        for (let update = 1; update <= 2 * large; update++) {
          const group = turns.filter((turn) => turn.update === update);
          expect(group.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
          expect(group.map(({ goesOn }) => goesOn)).toEqual(group.map((_, place) => place > 0));
          expect(group.map(({ ends }) => ends)).toEqual(group.map((_, place) => place === group.length - 1));
        }
      }),
    );
  });
});

describe('accumulate', () => {
  it('moves the weights as one large batch does', async () => {
    const options: Partial<TrainJob> = {
      optimizer: { name: 'sgd', learningRate: 0.2, momentum: 0.9 },
      schedule: { name: 'cosine', floor: 0, warmup: 1 },
      clip: { norm: 0.5 },
      ema: { decay: 0.8 },
      epochs: 3,
    };
    // The last update of an epoch has fewer batches, and the last batch fewer rows.
    const [small, large] = [
      make({ ...options, batchSize: 8, accumulate: 3 }),
      make({ ...options, batchSize: 24 }),
    ];
    expect(data.splits.train.rows % 24).toBeGreaterThan(8);
    const [ours, theirs] = [await onnxEngine.train(small), await onnxEngine.train(large)];
    expect(furthest(weightsOf(ours, small), weightsOf(theirs, large))).toBeLessThan(1e-6);
    ours.history.forEach((epoch, at) => {
      expect(epoch.loss).toBeGreaterThan(0);
      expect(epoch['validationLoss']).toBeCloseTo(theirs.history[at]!['validationLoss']!, 6);
      expect(epoch['learningRate']).toBeCloseTo(theirs.history[at]!['learningRate']!, 12);
    });
    const plain = make({ ...options, batchSize: 8 });
    expect(
      furthest(weightsOf(await onnxEngine.train(plain), plain), weightsOf(theirs, large)),
    ).toBeGreaterThan(1e-3);
  });
});

describe('ema', () => {
  it('is the average of the weights over the steps, and what is validated', async () => {
    // One step an epoch, so that the weights after each step can be had.
    const whole = { batchSize: data.splits.train.rows };
    const decay = 0.7;
    let average: number[] | undefined;
    for (let epochs = 1; epochs <= 4; epochs++) {
      const plain = make({ ...whole, epochs });
      const weights = weightsOf(await onnxEngine.train(plain), plain);
      average = average?.map((value, at) => value * decay + weights[at]! * (1 - decay)) ?? weights;
    }
    const averaged = make({ ...whole, epochs: 4, ema: { decay } });
    const outcome = await onnxEngine.train(averaged);
    expect(furthest(weightsOf(outcome, averaged), average!)).toBeLessThan(1e-6);
    // Validation of the model that came out, whose weights a tiny step leaves as they are.
    const still = make({ ...whole, epochs: 1, optimizer: { name: 'sgd', learningRate: 1e-30 } });
    const again = await onnxEngine.train({ ...still, model: outcome.model });
    expect(again.history[0]!['validationLoss']).toBe(outcome.history.at(-1)!['validationLoss']);
  });

  it('averages what batch normalization has learnt, too', async () => {
    const rows = plane(24);
    const decay = 0.7;
    const work = () => join(root, `work-${count++}`);
    const names = ['norm.mean', 'norm.variance'];
    const made = (epochs: number, more: Partial<TrainJob> = {}) =>
      job(normalized(), rows, work(), { batchSize: rows.splits.train.rows, epochs, ...more });
    let average: number[] | undefined;
    for (let epochs = 1; epochs <= 3; epochs++) {
      const learnt = weightsOf(await onnxEngine.train(made(epochs)), { ...made(1), trainable: names });
      average = average?.map((value, at) => value * decay + learnt[at]! * (1 - decay)) ?? learnt;
    }
    const whole = rows.splits.train.rows;
    for (const more of [{}, { batchSize: whole, accumulate: 2 }]) {
      const outcome = await onnxEngine.train(made(3, { ema: { decay }, ...more }));
      expect(furthest(weightsOf(outcome, { ...made(1), trainable: names }), average!)).toBeLessThan(1e-6);
    }
  });

  it('is what early stopping keeps', async () => {
    const earlyStopping = {
      ...{ monitor: 'validationLoss', mode: 'max' as const, minDelta: 0 },
      ...{ patience: 9, startFromEpoch: 0, restoreBestWeights: true },
    };
    const kept = make({ epochs: 4, ema: { decay: 0.9 }, earlyStopping });
    const short = make({ epochs: 1, ema: { decay: 0.9 } });
    const [outcome, first] = [await onnxEngine.train(kept), await onnxEngine.train(short)];
    expect(weightsOf(outcome, kept)).toEqual(weightsOf(first, short));
  });
});

describe('both together', () => {
  // Whose decay is another.
  const optimizer = { name: 'adamw', learningRate: 0.02, weightDecay: 0.1 };
  const options = { epochs: 2, batchSize: 9, accumulate: 2, ema: { decay: 0.9 }, optimizer };

  it.each([1, 10, 11])('end in the same bits when taken up after batch %i', async (at) => {
    const unbroken = fingerprint(await onnxEngine.train(make(options, 0.25)));
    let looks = 0;
    const signal = {
      get aborted() {
        return looks++ >= at;
      },
    } as AbortSignal;
    const broken = { ...make(options, 0.25), options: { stepsPerRun: 1 } };
    await expect(onnxEngine.train({ ...broken, signal })).rejects.toMatchObject({ code: 'MAAS_INTERRUPTED' });
    expect(fingerprint(await onnxEngine.train(broken))).toBe(unbroken);
  });

  it('are part of what a checkpoint is for', async () => {
    const first = { ...make(options), signal: AbortSignal.abort() };
    await expect(onnxEngine.train(first)).rejects.toThrow();
    const { notes } = await onnxEngine.train({ ...make(options), work: first.work, ema: { decay: 0.8 } });
    expect(notes![0]).toContain('of another job');
  });
});
