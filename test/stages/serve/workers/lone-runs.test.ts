import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import fc from 'fast-check';
import { GraphBuilder } from '../../../../src/ir/builder.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import { tensor } from '../../../../src/ir/tensor.js';
import { openSession, type Feeds } from '../../../../src/runtime/session.js';
import { readOnnxFile } from '../../../../src/stages/serve/model-files.js';
import { openRunner } from '../../../../src/stages/serve/runner.js';
import { randomFrom } from '../traffic/subjects.js';
import { WorkerPool } from '../../../../src/stages/serve/workers/pool.js';
import { LoneRuns, type Lane, type LoneRunsOptions } from '../../../../src/stages/serve/workers/lone-runs.js';

afterEach(() => {
  vi.restoreAllMocks();
});

/** Lanes on a clock of their own: `cost` says how long a run in so many threads takes. */
function make(cores: number, cost: (threads: number) => number, options: Partial<LoneRunsOptions> = {}) {
  const seen = {
    runs: [] as number[],
    opened: [] as number[],
    closed: [] as number[],
    chosen: [] as number[],
  };
  const state = { clock: 0, ready: true };
  const laneOf = (threads: number): Lane => ({
    get ready() {
      return threads === 1 || state.ready;
    },
    run: async (feeds) => {
      seen.runs.push(threads);
      await Promise.resolve();
      state.clock += cost(threads);
      return { y: feeds['x']! };
    },
    close: async () => {
      await Promise.resolve();
      seen.closed.push(threads);
    },
  });
  const lone = new LoneRuns({
    pool: laneOf(1),
    cores,
    open: async (threads) => {
      seen.opened.push(threads);
      await Promise.resolve();
      return laneOf(threads);
    },
    onChoice: (threads) => seen.chosen.push(threads),
    now: () => state.clock,
    ...options,
  });
  return { lone, seen, state };
}

const feeds = (value: number): Feeds => ({
  x: { dtype: 'float32', dims: [1], data: Float32Array.of(value) },
});
const askSingly = async (lone: LoneRuns, count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++)
    expect((await lone.run(feeds(turn), false))['y']!.data[0]).toBe(turn);
};

it('takes as many threads for a run that is alone as are worth while, and closes the rest', async () => {
  // Eight are no faster than four.
  const { lone, seen } = make(16, (threads) => 10 / Math.min(4, threads));
  await askSingly(lone, 200);
  expect(seen.opened).toEqual([2, 4, 8]);
  expect(seen.chosen).toEqual([2, 4]);
  expect(new Set(seen.runs.slice(-50))).toEqual(new Set([4]));
  await lone.close();
  expect(seen.closed.toSorted()).toEqual([1, 2, 4, 8]);
});

it('takes no more than there are cores, and leaves it at one where more are no faster', async () => {
  const most = make(6, (threads) => 10 / threads);
  await askSingly(most.lone, 200);
  expect(most.seen.opened).toEqual([2, 4, 6]);
  expect(most.seen.chosen).toEqual([2, 4, 6]);
  const none = make(6, () => 10);
  await askSingly(none.lone, 200);
  expect(none.seen.opened).toEqual([2]);
  expect(none.seen.closed).toEqual([2]);
  expect(new Set(none.seen.runs.slice(-50))).toEqual(new Set([1]));
});

it('tries more threads again, ever more rarely, where they were no faster', async () => {
  let busy = true;
  const { lone, seen } = make(2, (threads) => (busy ? 10 : 10 / threads));
  await askSingly(lone, 5000);
  expect(seen.opened.length).toBeGreaterThan(2);
  expect(seen.opened.length).toBeLessThan(6);
  expect(seen.closed).toHaveLength(seen.opened.length);
  busy = false;
  await askSingly(lone, 10_000);
  expect(seen.chosen).toEqual([2]);
  expect(new Set(seen.runs.slice(-50))).toEqual(new Set([2]));
  await lone.close();
  expect(seen.closed).toHaveLength(seen.opened.length + 1);
});

it('opens nothing for a model that is hardly asked, or never singly', async () => {
  const { lone, seen } = make(2, () => 10);
  await askSingly(lone, 2);
  const together = [0, 1, 2].map((turn) => lone.run(feeds(turn), false));
  await Promise.all(together);
  expect(seen.opened).toEqual([]);
  await lone.close();
  expect(seen.closed).toEqual([1]);
});

it('gives what comes beside another run to the pool, whatever is faster alone', async () => {
  const { lone, seen } = make(2, (threads) => 10 / threads);
  await askSingly(lone, 60);
  seen.runs.length = 0;
  const answers = await Promise.all([0, 1, 2].map((turn) => lone.run(feeds(turn), false)));
  expect(answers.map(({ y }) => y!.data[0])).toEqual([0, 1, 2]);
  expect(seen.runs).toEqual([2, 1, 1]);
});

it('goes on with the pool while the other worker is replaced, or cannot be had', async () => {
  const { lone, seen, state } = make(2, (threads) => 10 / threads);
  await askSingly(lone, 60);
  state.ready = false;
  seen.runs.length = 0;
  await askSingly(lone, 3);
  state.ready = true;
  await askSingly(lone, 1);
  expect(seen.runs).toEqual([1, 1, 1, 2]);

  const told: unknown[] = [];
  const refused = make(2, () => 10, {
    open: () => Promise.reject(new Error('no memory')),
    onChoice: (threads, error) => told.push(threads, error?.message),
  });
  await askSingly(refused.lone, 60);
  expect(told).toEqual([1, 'no memory']);
  expect(new Set(refused.seen.runs)).toEqual(new Set([1]));
});

it('gives each its own answer and closes every lane once, whenever it is closed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 60 }),
      fc.integer({ min: 1, max: 9 }),
      async (groups, cores) => {
        const { lone, seen } = make(cores + 1, (threads) => 10 / threads);
        let value = 0;
        for (const size of groups) {
          const values = Array.from({ length: size }, () => value++);
          const answers = await Promise.all(values.map((each) => lone.run(feeds(each), false)));
          expect(answers.map(({ y }) => y!.data[0])).toEqual(values);
        }
        await lone.close();
        expect(seen.closed.toSorted()).toEqual([1, ...seen.opened].toSorted());
      },
    ),
  );
});

const size = 1100;

/** A product that runs in workers, for its weights take 4.8 MB. */
function makeLarge(weight: (index: number) => number): Uint8Array {
  const graph = new GraphBuilder('large');
  graph.input('x', 'float32', ['N', size]);
  const values = Float32Array.from({ length: size * size }, (_, index) => weight(index));
  graph.output(graph.op('MatMul', ['x', graph.constant(tensor('float32', [size, size], values))]), 'y');
  const rest = { irVersion: 10, opsets: { '': 21 }, producer: 'test', metadata: {} };
  return encodeModel({ ...rest, graph: graph.build() });
}

const onCores = it.skipIf(availableParallelism() === 1);

onCores('measures that with a real model, and gives the same answers all along', async () => {
  const next = randomFrom(3);
  const model = makeLarge(() => next() - 0.5);
  const files = { name: 'large', version: '1', projectName: 'large', model, size: model.length };
  const open = vi.spyOn(WorkerPool, 'open');
  const runner = await openRunner(files, { threads: 'auto', maxBatchSize: 8 });
  const direct = await openSession(model);
  try {
    for (let turn = 0, since = 0; since < 60; turn++, since += open.mock.calls.length - 1) {
      const rows = 1 + (turn % 3);
      const data = Float32Array.from({ length: rows * size }, () => next() - 0.5);
      const asked: Feeds = { x: { dtype: 'float32', dims: [rows, size], data } };
      const [given, wanted] = [await runner.run(asked, false), await direct.run(asked)];
      expect(given['y']!.dims).toEqual([rows, size]);
      const errors = (given['y']!.data as Float32Array).map(
        (value, index) => value - (wanted['y']!.data as Float32Array)[index]!,
      );
      expect(Math.max(...errors.map(Math.abs))).toBeLessThan(1e-4);
    }
    const threads = open.mock.calls.map(([{ setup }]) => setup.session.threads);
    expect(threads.slice(0, 2)).toEqual([1, 2]);
  } finally {
    await runner.close();
    await direct.close();
  }
});

onCores('opens no other model that was put in the place of its own', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'maas-lone-'));
  const path = join(folder, 'large.onnx');
  await writeFile(
    path,
    makeLarge(() => 1),
  );
  const told: (string | undefined)[] = [];
  const onThreads = (_: number, error?: Error): unknown => told.push(error?.message);
  const runner = await openRunner(await readOnnxFile(path), { threads: 'auto', maxBatchSize: 8, onThreads });
  try {
    await writeFile(
      path,
      makeLarge(() => 2),
    );
    const data = new Float32Array(size).fill(1);
    for (let turn = 0; told.length === 0 || turn < 30; turn++) {
      const { y } = await runner.run({ x: { dtype: 'float32', dims: [1, size], data } }, false);
      expect(y!.data[0]).toBe(size);
    }
    expect(told).toEqual([expect.stringContaining('has changed since the model was loaded')]);
  } finally {
    await runner.close();
    await rm(folder, { recursive: true, force: true });
  }
});
