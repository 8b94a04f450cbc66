import { afterEach, expect, it, vi } from 'vitest';
import { GraphBuilder } from '../../../../src/ir/builder.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import { tensor } from '../../../../src/ir/tensor.js';
import { countRowsBeside, isQuick } from '../../../../src/stages/serve/placement.js';
import { besides, openRunner, withHelp, type Opened } from '../../../../src/stages/serve/runner.js';
import { WorkerPool } from '../../../../src/stages/serve/workers/pool.js';
import type { Feeds } from '../../../../src/runtime/session.js';

const rowsOf = (count: number): Feeds => ({
  x: { dtype: 'float32', dims: [count, 1], data: new Float32Array(count) },
});

it('counts the rows that take less than the way to a worker', async () => {
  const count = async (milliseconds: number, most = 64): Promise<number> => {
    let clock = 0;
    const run = (feeds: Feeds): Promise<void> => {
      clock += milliseconds * feeds['x']!.dims[0]!;
      return Promise.resolve();
    };
    return countRowsBeside(run, rowsOf(1), most, () => clock);
  };
  expect(await count(0.02)).toBe(8);
  expect(await count(0.19)).toBe(1);
  expect(await count(0.3)).toBe(0);
  expect(await count(0.001, 16)).toBe(16);
});

it('takes a model for quick though others take the processor from its first runs', async () => {
  const judge = async (cost: (run: number) => number): Promise<[boolean, number]> => {
    let [clock, runs] = [0, 0];
    const run = (): Promise<void> => {
      clock += cost(++runs);
      return Promise.resolve();
    };
    return [await isQuick(run, rowsOf(1), 1, () => clock), runs];
  };
  expect(await judge(() => 0.5)).toEqual([true, 1]);
  expect(await judge((run) => (run < 12 ? 3 : 0.5))).toEqual([true, 12]);
  // What is out of the question takes no time to find out.
  expect(await judge(() => 50)).toEqual([false, 4]);
  expect((await judge(() => 1.5))[0]).toBe(false);
});

it('runs few rows here and many in workers, and is ready when the workers are', async () => {
  const seen: string[] = [];
  const runner = (name: string, workers: number): Opened['runner'] => ({
    rows: 'share',
    ports: { inputs: [{ name: 'x', dtype: 'float32', shape: ['N', 1] }], outputs: [] },
    workers,
    rowsBeside: 0,
    get ready() {
      return workers === 0 || seen.length > 2;
    },
    live: true,
    run: (feeds) => {
      seen.push(`${name} ${feeds['x']!.dims[0]!}`);
      return Promise.resolve({});
    },
    close: () => {
      seen.push(`${name} closed`);
      return Promise.resolve();
    },
  });
  const { runner: both } = besides(runner('here', 0), 4, {
    runner: runner('worker', 2),
    golden: undefined,
  });
  expect(both).toMatchObject({ workers: 2, rowsBeside: 4, ready: false });
  for (const rows of [1, 4, 5]) await both.run(rowsOf(rows), false);
  expect(both.ready).toBe(true);
  await both.close();
  expect(seen).toEqual(['here 1', 'here 4', 'worker 5', 'worker closed', 'here closed']);
});

afterEach(() => {
  vi.restoreAllMocks();
});

it('gives the longer runs of a quick model to a worker once there is one, and never another answer', async () => {
  const graph = new GraphBuilder('sum');
  graph.input('x', 'float32', ['N', 200]);
  const ones = graph.constant(tensor('float32', [200, 3], new Array<number>(600).fill(1)));
  graph.output(graph.op('MatMul', ['x', ones]), 'y');
  const model = encodeModel({
    irVersion: 10,
    opsets: { '': 21 },
    producer: 'test',
    metadata: {},
    graph: graph.build(),
  });
  const files = { name: 'sum', version: '1', projectName: 'sum', model, size: model.length };
  const options = { threads: 1, maxBatchSize: 64 } as const;
  const inline = await openRunner(files, { ...options, workers: 0 });
  const helped = withHelp(inline, 4, files, options);
  const asked = vi.spyOn(WorkerPool.prototype, 'run');
  const ask = async (rows: number, value: number): Promise<void> => {
    const data = new Float32Array(rows * 200).fill(value);
    const { y } = await helped.run({ x: { dtype: 'float32', dims: [rows, 200], data } }, false);
    expect(y!.dims).toEqual([rows, 3]);
    expect(new Set(y!.data as Float32Array)).toEqual(new Set([200 * value]));
  };
  try {
    expect(helped).toMatchObject({ workers: 0, rowsBeside: 4, ready: true, live: true });
    for (let turn = 1; asked.mock.calls.length === 0; turn++) await ask(5, turn);
    await Promise.all([300, 1, 200, 4, 500, 170, 6].map((rows, turn) => ask(rows, turn + 1)));
    const rows = asked.mock.calls.map(([feeds]) => feeds['x']!.dims[0]!);
    expect(rows.every((count) => count > 4)).toBe(true);
    expect(rows.slice(1)).toEqual([300, 200, 500, 170, 6]);
  } finally {
    await helped.close();
  }
});
