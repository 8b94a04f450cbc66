import { expect, it } from 'vitest';
import { countRowsBeside } from '../../../../src/stages/serve/placement.js';
import { besides, type Opened } from '../../../../src/stages/serve/runner.js';
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
