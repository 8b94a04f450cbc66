import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toNdArray } from '../../../../../src/ir/tensor.js';
import type { TrainJob, TrainOutcome } from '../../../../../src/plugin/api.js';
import { onnxEngine } from '../../../../../src/stages/train/engines/onnx/index.js';
import { classes, classifier, fingerprint, job, line, plane } from './jobs.js';

let root: string;
let count = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-fitting-'));
});
afterAll(() => rm(root, { recursive: true }));

const work = (): string => join(root, `work-${count++}`);
const weightsOf = ({ model }: TrainOutcome, name: string): number[] =>
  Array.from(toNdArray(model.graph.initializers.get(name)!).data, Number);

/** A signal that is found aborted when it is looked at for the `at`-th time. */
function abortAt(at: number): AbortSignal {
  let looks = 0;
  return {
    get aborted() {
      return looks++ >= at;
    },
  } as AbortSignal;
}

/** Stops a job again and again until it ends by itself. */
async function inPieces(whole: TrainJob, looks: number): Promise<TrainOutcome> {
  for (;;) {
    try {
      return await onnxEngine.train({ ...whole, signal: abortAt(looks) });
    } catch (error) {
      expect(error).toMatchObject({ code: 'MAAS_INTERRUPTED' });
    }
  }
}

const oneStepPerRun = { checkpointSeconds: 0 };
const earlyStopping = {
  monitor: 'validationLoss',
  mode: 'auto',
  minDelta: 0,
  patience: 3,
  startFromEpoch: 0,
  restoreBestWeights: true,
} as const;
/** Too fast to settle: the validation loss goes up and down. */
const restless = { optimizer: { name: 'sgd', learningRate: 3 }, epochs: 30, batchSize: 30 };

describe('clipping', () => {
  it('bounds how far a step goes', async () => {
    const first = { epochs: 1, batchSize: 90, optimizer: { name: 'sgd', learningRate: 1 } };
    const start = [...weightsOf({ ...line(), history: [] }, 'line.weight'), 0];
    const move = async (clip: TrainJob['clip']) => {
      const outcome = await onnxEngine.train(
        job(line(), plane(), work(), { ...first, ...(clip && { clip }) }),
      );
      const end = [...weightsOf(outcome, 'line.weight'), ...weightsOf(outcome, 'line.bias')];
      return end.map((value, index) => value - start[index]!);
    };
    const free = await move(undefined);
    const length = Math.hypot(...free);
    expect(length).toBeGreaterThan(0.1);
    (await move({ norm: 0.1 })).forEach((value, index) => {
      expect(value).toBeCloseTo((free[index]! * 0.1) / length, 5);
    });
    expect(Math.max(...(await move({ value: 0.01 })).map(Math.abs))).toBeCloseTo(0.01, 5);
  });
});

describe('a schedule', () => {
  it('sets the rate of each step, and is written down', async () => {
    const schedule = { name: 'step', every: 1, factor: 0.1, floor: 0, warmup: 0 };
    const made = job(line(), plane(), work(), { optimizer: { name: 'sgd', learningRate: 0.1 }, schedule });
    const { history } = await onnxEngine.train(made);
    [0.1, 0.01, 0.001, 0.0001].forEach((rate, epoch) => {
      expect(history[epoch]!['learningRate']).toBeCloseTo(rate, 12);
    });
    const first = await onnxEngine.train({
      ...made,
      schedule: { ...schedule, floor: 1 },
      work: work(),
      epochs: 1,
    });
    expect(history[0]).toEqual(first.history[0]);
  });

  it.each<[string, TrainJob['schedule']]>([
    ['cosine', { name: 'cosine', floor: 0, warmup: 1.5 }],
    [
      'reduceOnPlateau',
      {
        ...{ name: 'reduceOnPlateau', monitor: 'validationLoss', mode: 'auto', minDelta: 0.2, patience: 1 },
        ...{ cooldown: 0, factor: 0.5, floor: 0, warmup: 0 },
      },
    ],
  ])('%s ends in the same bits when it is taken up again', async (_, schedule) => {
    const make = () =>
      job(classifier(), classes(), work(), { schedule: schedule!, epochs: 5, options: oneStepPerRun });
    const unbroken = await onnxEngine.train(make());
    expect(new Set(unbroken.history.map((epoch) => epoch['learningRate'])).size).toBeGreaterThan(1);
    expect(fingerprint(await inPieces(make(), 4))).toBe(fingerprint(unbroken));
  });
});

describe('early stopping', () => {
  const make = (changes: Partial<TrainJob> = {}) =>
    job(classifier(), classes(), work(), { ...restless, earlyStopping, ...changes });

  it('ends with the weights of the best epoch', async () => {
    const { history, notes, model } = await onnxEngine.train(make());
    const losses = history.map((epoch) => epoch['validationLoss']!);
    const best = losses.indexOf(Math.min(...losses));
    expect(history.length).toBeLessThan(30);
    expect(history).toHaveLength(best + 1 + earlyStopping.patience);
    expect(notes).toEqual([
      `stopped after epoch ${history.length} of 30: validationLoss was best in epoch ${best + 1}, whose weights the model has`,
    ]);
    // The same training, ended after its best epoch.
    const plain = job(classifier(), classes(), work(), { ...restless, epochs: best + 1 });
    expect(fingerprint({ model, history: [] })).toBe(
      fingerprint({ model: (await onnxEngine.train(plain)).model, history: [] }),
    );
  });

  it('goes by any figure of the validation split, which the history has', async () => {
    const watching = { ...earlyStopping, monitor: 'validationRocAuc' };
    const metrics = ['accuracy', 'rocAuc', 'top3Accuracy'];
    const { history, notes } = await onnxEngine.train(make({ earlyStopping: watching, metrics }));
    const areas = history.map((epoch) => epoch['validationRocAuc']!);
    expect(notes!.at(-1)).toContain(
      `validationRocAuc was best in epoch ${areas.indexOf(Math.max(...areas)) + 1}`,
    );
    // Not defined where there are three labels at most.
    expect(history.at(-1)!['validationTop3Accuracy']).toBeNaN();
  });

  it('keeps the last weights when told to', async () => {
    const options = { ...earlyStopping, restoreBestWeights: false };
    const stopped = await onnxEngine.train(make({ earlyStopping: options }));
    const plain = job(classifier(), classes(), work(), { ...restless, epochs: stopped.history.length });
    expect(fingerprint(stopped)).toBe(fingerprint(await onnxEngine.train(plain)));
  });

  it.each([2, 5])('ends in the same bits when it is stopped every %i steps', async (looks) => {
    const unbroken = await onnxEngine.train(make({ options: oneStepPerRun }));
    const pieces = await inPieces(make({ options: oneStepPerRun }), looks);
    expect(fingerprint(pieces)).toBe(fingerprint(unbroken));
    expect(pieces.notes!.at(-1)).toBe(unbroken.notes!.at(-1));
  });

  it('is part of what a checkpoint is for', async () => {
    const whole = make();
    await expect(onnxEngine.train({ ...whole, signal: abortAt(4) })).rejects.toThrow();
    const { notes } = await onnxEngine.train({ ...whole, earlyStopping: { ...earlyStopping, patience: 4 } });
    expect(notes![0]).toBe('the checkpoint is of another job or runtime: training starts anew');
  });
});

describe('losses with options', () => {
  it('weigh classes in training and validation', async () => {
    const loss = { name: 'sparseCategoricalCrossentropy', labelSmoothing: 0.1, classWeights: [1, 1, 1] };
    const run = async (changes: object) =>
      onnxEngine.train(job(classifier(), classes(), work(), { loss: { ...loss, ...changes } }));
    const [plain, doubled] = [await run({}), await run({ classWeights: [2, 2, 2] })];
    expect(doubled.history[0]!['validationLoss']).toBeGreaterThan(1.5 * plain.history[0]!['validationLoss']!);
    const { history } = await run({ classWeights: [0, 0, 0] });
    expect(history.map(({ loss }) => loss)).toEqual([0, 0, 0, 0]);
  });
});
