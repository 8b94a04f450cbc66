import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeModel } from '../../../../../src/ir/onnx/save.js';
import type { NdArray } from '../../../../../src/ir/tensor.js';
import { openSession } from '../../../../../src/runtime/session.js';
import { columnsOf, prepareBatches } from '../../../../../src/stages/train/engines/onnx/batches.js';
import { SessionThread } from '../../../../../src/runtime/thread/session-thread.js';
import { compileStep } from '../../../../../src/stages/train/engines/onnx/compile-step.js';
import { fillMask } from '../../../../../src/stages/train/engines/onnx/dropout.js';
import { openFeeder } from '../../../../../src/stages/train/engines/onnx/feeder.js';
import { onnxEngine } from '../../../../../src/stages/train/engines/onnx/index.js';
import { prepareTable } from '../../../../../src/stages/train/engines/onnx/prepare.js';
import { shuffledRows } from '../../../../../src/stages/train/engines/onnx/random.js';
import { openRooms } from '../../../../../src/stages/train/engines/onnx/rooms.js';
import { openStepper } from '../../../../../src/stages/train/engines/onnx/stepper.js';
import { adaptStride } from '../../../../../src/stages/train/engines/onnx/stride.js';
import { classes, classifier, fingerprint, job } from './jobs.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-stack-'));
});
afterAll(() => rm(root, { recursive: true }));

const real = (data: Float32Array, dims: readonly number[]): NdArray => ({ dtype: 'float32', dims, data });

describe('steps in one run', () => {
  it.each([1, 2])('are those of one graph run step by step, with %i threads', async (threads) => {
    const [steps, rows] = [6, 15];
    const made = job(classifier({ dropout: 0.25 }), classes(), root, { threads });
    const compiled = compileStep(made);
    const table = made.dataset.splits.train;
    const place = { thread: new SessionThread(), rooms: openRooms() };
    const inputs = await prepareTable(place, compiled.preparation, table, 1);
    const columns = columnsOf(compiled, { inputs, target: table.target });
    const take = prepareBatches(columns, place.rooms);
    // One epoch, in the order of the feeder.
    const feeder = openFeeder({ ...made, batchSize: rows }, compiled, columns, place.rooms);
    const order = shuffledRows(table.rows, made.seed, 0);
    const initial = Object.fromEntries(compiled.carried.map(({ input, initial }) => [input, initial()]));

    const session = await openSession(encodeModel(compiled.model), { threads, optimization: 'basic' });
    const losses: number[] = [];
    let state: Record<string, NdArray> = initial;
    for (let at = 0; at < steps; at++) {
      const feeds = { ...take(order, at * rows, [rows]), ...state };
      const scalars = compiled.scalarsAt(at + 1);
      for (const [key, name] of Object.entries(compiled.scalars)) {
        feeds[name] = real(Float32Array.of(scalars[key]!), []);
      }
      for (const mask of compiled.masks) {
        const data = new Float32Array(rows * mask.width);
        fillMask(data, mask, made.seed, at + 1);
        feeds[mask.name] = real(data, [rows, mask.width]);
      }
      const found = await session.run(feeds);
      losses.push(Number(found[compiled.loss]!.data[0]));
      state = Object.fromEntries(compiled.carried.map(({ input, output }) => [input, found[output]!]));
    }
    await session.close();

    for (const [first, then] of [
      [6, 0],
      [4, 2],
      [1, 5],
    ] as const) {
      const stepper = await openStepper(place.thread, compiled, initial, threads);
      const all: number[] = [];
      for (const most of then > 0 ? [first, then] : [first]) {
        const { feeds, steps: count } = feeder.gather({ epoch: 0, batch: all.length }, most);
        const found = await stepper.run(feeds, { count, first: all.length + 1, share: 1 });
        all.push(...Array.from(found.losses));
        place.rooms.giveBack(found.returned);
      }
      expect(all).toEqual(losses);
      expect(await stepper.read()).toEqual(state);
    }
    await place.thread.close();
  });

  it('end in the same bits, however many they are', async () => {
    const train = async (stepsPerRun?: number) => {
      const options = stepsPerRun === undefined ? {} : { stepsPerRun };
      const work = join(root, String(stepsPerRun));
      const network = classifier({ dropout: 0.25 });
      return fingerprint(await onnxEngine.train(job(network, classes(), work, { options, batchSize: 8 })));
    };
    const one = await train(1);
    for (const count of [2, 3, 64, undefined]) expect(await train(count)).toBe(one);
  });

  it('take words that cannot be looked up beforehand', async () => {
    const network = classifier();
    const { graph } = network.model;
    // Another name for the same size: nobody can tell that the rows of one are those of the other.
    const inputs = graph.inputs.map((value) =>
      value.name === 'colour' ? { ...value, shape: ['M', 1] } : value,
    );
    const apart = { ...network, model: { ...network.model, graph: { ...graph, inputs } } };
    const made = job(apart, classes(), join(root, 'apart'));
    expect(compileStep(made).preparation).toBeUndefined();
    const whole = await onnxEngine.train(job(network, classes(), join(root, 'whole')));
    expect(fingerprint(await onnxEngine.train(made))).toBe(fingerprint(whole));
  });

  it('feed weights that stay as they were', async () => {
    const made = job(classifier(), classes(), root);
    const compiled = compileStep(made);
    const copies = compiled.carried.map(({ initial }) => initial().data.slice());
    await onnxEngine.train(made);
    expect(compiled.carried.map(({ initial }) => initial().data)).toEqual(copies);
  });
});

describe('adaptStride', () => {
  const small = { batch: 1000, carried: 1000 };
  const after = (time: (steps: number) => number, sizes = small, most?: number): number => {
    const stride = adaptStride(sizes, most);
    for (let run = 0; run < 20; run++) stride.took(stride.steps, time(stride.steps));
    return stride.steps;
  };

  it.each<[string, number, number]>([
    ['many short steps', 64, after((steps) => steps * 0.1)],
    ['fewer longer ones', 16, after((steps) => steps * 7)],
    ['more of them for heavy weights', 32, after((steps) => steps * 20, { ...small, carried: 2 ** 26 })],
    ['one that takes long', 1, after((steps) => steps * 500)],
    [
      'what memory holds of large batches',
      3,
      after((steps) => steps * 0.1, { ...small, batch: 5 * 2 ** 20 }),
    ],
    ['one batch that is too large', 1, after(() => 1, { ...small, batch: 2 ** 30 })],
    ['no more than it may', 5, after((steps) => steps * 0.1, small, 5)],
  ])('takes %s', (_, expected, found) => {
    expect(found).toBe(expected);
  });

  it('goes back when the machine slows down', () => {
    const stride = adaptStride(small);
    for (let run = 0; run < 10; run++) stride.took(stride.steps, stride.steps * 0.5);
    expect(stride.steps).toBe(64);
    for (let run = 0; run < 10; run++) stride.took(stride.steps, stride.steps * 10);
    expect(stride.steps).toBe(16);
  });
});
