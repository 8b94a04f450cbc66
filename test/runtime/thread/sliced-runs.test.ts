import fc from 'fast-check';
import { expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import type { NdArray } from '../../../src/ir/tensor.js';
import type { Feeds } from '../../../src/runtime/session.js';
import { SessionThread } from '../../../src/runtime/thread/session-thread.js';
import { SlicedRuns } from '../../../src/runtime/thread/sliced-runs.js';

type Answer = Record<string, NdArray>;

const requestOf = (rows: number): Feeds => ({
  x: { dtype: 'float32', dims: [rows, 2], data: Float32Array.from({ length: 2 * rows }, (_, at) => at) },
  name: { dtype: 'string', dims: [rows], data: Array.from({ length: rows }, (_, at) => `row ${at}`) },
});

/** Gives the sum of each row, and its name; a run takes so many milliseconds. */
function open(timeOf: (rows: number) => number): { runs: SlicedRuns; sizes: number[] } {
  let clock = 0;
  const sizes: number[] = [];
  const run = ({ x, name }: Feeds): Promise<Answer> => {
    const rows = x!.dims[0]!;
    sizes.push(rows);
    clock += timeOf(rows);
    const values = x!.data as Float32Array;
    const sums = Float32Array.from({ length: rows }, (_, row) => values[2 * row]! + values[2 * row + 1]!);
    return Promise.resolve({ sum: { dtype: 'float32', dims: [rows], data: sums }, name: name! });
  };
  return { runs: new SlicedRuns({ run }, () => clock), sizes };
}

async function expectRight(runs: SlicedRuns, rows: number): Promise<void> {
  const { sum, name } = await runs.run(requestOf(rows));
  expect([sum!.dims, name!.dims]).toEqual([[rows], [rows]]);
  expect([...(sum!.data as Float32Array)]).toEqual(Array.from({ length: rows }, (_, row) => 4 * row + 1));
  expect(name!.data.at(-1)).toBe(rows === 0 ? undefined : `row ${rows - 1}`);
}

it('runs a few rows at a time where that is faster, and all at once where it is not', async () => {
  const choiceOf = async (timeOf: (rows: number) => number): Promise<number> => {
    const { runs, sizes } = open(timeOf);
    for (let request = 0; request < 15; request++) await expectRight(runs, 256);
    sizes.length = 0;
    await expectRight(runs, 1000);
    return Math.max(...sizes);
  };
  // It takes a while to begin, and many rows are slow.
  expect(await choiceOf((rows) => 0.01 + rows * (rows > 16 ? 0.02 : 0.01))).toBe(16);
  expect(await choiceOf((rows) => 0.2 + rows * (rows > 64 ? 0.02 : 0.01))).toBe(63);
  expect(await choiceOf((rows) => 0.2 + rows * 0.01)).toBe(1000);
  // Hardly faster.
  expect(await choiceOf((rows) => rows * (rows > 64 ? 0.0102 : 0.01))).toBe(1000);
});

it('gives each row its answer, whatever requests come', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.nat(700), fc.integer({ min: 65, max: 512 })), { minLength: 10, maxLength: 30 }),
      async (requests) => {
        const { runs } = open((rows) => rows ** 2);
        for (const rows of requests) await expectRight(runs, rows);
      },
    ),
    { numRuns: 20, seed: 3 },
  );
});

it('slices no more what mixes or drops rows, and answers as if it never had', async () => {
  const sizes: number[] = [];
  const runs = new SlicedRuns({
    run: ({ x }) => {
      sizes.push(x!.dims[0]!);
      const sum = (x!.data as Float32Array).reduce((total, value) => total + value, 0);
      return Promise.resolve({ y: { dtype: 'float32', dims: [1], data: Float32Array.of(sum) } });
    },
  });
  for (let request = 0; request < 4; request++)
    expect((await runs.run(requestOf(100)))['y']!.data[0]).toBe(199 * 100);
  expect(sizes).toEqual([100, 50, 100, 100, 100]);
});

it('gives in a thread what a whole run gives', async () => {
  const graph = new GraphBuilder('softmax');
  graph.output(graph.op('Softmax', [graph.input('x', 'float32', ['N', 2])]), 'y');
  const rest = { irVersion: 10, opsets: { '': 21 }, producer: 'test', metadata: {} };
  const thread = new SessionThread();
  try {
    const session = await thread.open(encodeModel({ ...rest, graph: graph.build() }));
    const x: NdArray = {
      dtype: 'float32',
      dims: [300, 2],
      data: Float32Array.from({ length: 600 }, (_, at) => (at * 7) % 11),
    };
    const whole = await session.run({ x });
    for (let request = 0; request < 18; request++) {
      expect(await session.run({ x }, { apart: true })).toEqual(whole);
    }
  } finally {
    await thread.close();
  }
});
