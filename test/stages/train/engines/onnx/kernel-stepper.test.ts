import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TrainJob } from '../../../../../src/plugin/api.js';
import { SessionThread } from '../../../../../src/runtime/thread/session-thread.js';
import { columnsOf } from '../../../../../src/stages/train/engines/onnx/batches.js';
import { compileStep } from '../../../../../src/stages/train/engines/onnx/compile-step.js';
import { openFeeder } from '../../../../../src/stages/train/engines/onnx/feeder.js';
import { planBanks } from '../../../../../src/stages/train/engines/onnx/kernel-stepper.js';
import { prepareTable } from '../../../../../src/stages/train/engines/onnx/prepare.js';
import { openRooms } from '../../../../../src/stages/train/engines/onnx/rooms.js';
import { openStepper } from '../../../../../src/stages/train/engines/onnx/stepper.js';
import { classes, classifier, job } from './jobs.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-kernels-'));
});
afterAll(() => rm(root, { recursive: true }));

/** Losses and what is carried after six steps. */
async function steps(made: TrainJob, withKernels: boolean, threads: number) {
  const compiled = compileStep(made, { kernels: withKernels });
  expect(compiled.kernels !== undefined).toBe(withKernels);
  const table = made.dataset.splits.train;
  const place = { thread: new SessionThread(), rooms: openRooms() };
  const inputs = await prepareTable(place, compiled.preparation, table, 1);
  const feeder = openFeeder(
    made,
    compiled,
    columnsOf(compiled, { inputs, target: table.target }),
    place.rooms,
  );
  const stepper = await openStepper(place.thread, compiled, undefined, threads);
  const losses: number[] = [];
  for (const most of [4, 2]) {
    const { feeds, steps: count } = feeder.gather({ epoch: 0, batch: losses.length }, most);
    const found = await stepper.run(feeds, { count, first: losses.length + 1, share: 1 });
    losses.push(...Array.from(found.losses));
  }
  const state = await stepper.read();
  await place.thread.close();
  return { losses, state };
}

describe('steps with kernels', () => {
  it.each<[string, Partial<TrainJob>]>([
    ['adam', { optimizer: { name: 'adam', learningRate: 0.01 } }],
    ['adamw that spares vectors', { optimizer: { name: 'adamw', learningRate: 0.01, weightDecay: 0.1 } }],
    [
      'adamw that spares some weights',
      {
        optimizer: {
          ...{ name: 'adamw', learningRate: 0.01, weightDecay: 0.1, decayVectors: true },
          excludeFromWeightDecay: ['*.bias', 'out.weight'],
        },
      },
    ],
    [
      'clipped gradients',
      { optimizer: { name: 'sgd', learningRate: 0.1, momentum: 0.9 }, clip: { norm: 0.5 } },
    ],
    ['averages of weights', { optimizer: { name: 'rmsprop', learningRate: 0.01 }, ema: { decay: 0.9 } }],
  ])('have the bits of one graph: %s', async (_, settings) => {
    const made = { ...job(classifier({ dropout: 0.25 }), classes(), root), batchSize: 8, ...settings };
    for (const threads of [1, 2]) {
      expect(await steps(made, true, threads)).toEqual(await steps(made, false, threads));
    }
  });

  it('leave alone what kernels cannot do', () => {
    const made = job(classifier(), classes(), root);
    expect(
      compileStep({ ...made, optimizer: { name: 'lamb', learningRate: 0.01 } }, { kernels: true }).kernels,
    ).toBeUndefined();
    expect(compileStep({ ...made, accumulate: 2 }, { kernels: true }).kernels).toBeUndefined();
  });
});

describe('planBanks', () => {
  it('puts weights of one kernel together, as far as a memory goes', () => {
    const made = {
      ...job(classifier(), classes(), root),
      optimizer: { name: 'adamw', learningRate: 0.01, weightDecay: 0.1 },
    };
    const kernels = compileStep(made, { kernels: true }).kernels!;
    const banks = planBanks(kernels);
    expect(banks.length).toBe(2);
    expect(banks.flatMap(({ members }) => members).length).toBe(kernels.length);
    expect(planBanks(kernels, 0).length).toBe(kernels.length);
  });
});
