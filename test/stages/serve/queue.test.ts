import { expect, it } from 'vitest';
import type { Outputs } from '../../../src/stages/serve/batcher.js';
import type { CheckedInputs } from '../../../src/stages/serve/check-inputs.js';
import { createQueue, type Queue } from '../../../src/stages/serve/queue.js';

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** A queue whose runs end when they are told to, and the rows of those that are under way. */
function open(runsBeside: number): {
  queue: Queue;
  running: number[];
  end: (rows: number) => void;
  ask: (rows: number) => Promise<Outputs>;
} {
  const running: number[] = [];
  const ends = new Map<number, () => void>();
  const queue = createQueue(
    { rowsBeside: 4, runsBeside },
    {
      rows: 'share',
      maxBatchSize: 4,
      maxQueue: 4,
      run: async (feeds) => {
        const rows = feeds['x']!.dims[0]!;
        running.push(rows);
        await new Promise<void>((resolve) => ends.set(rows, resolve));
        running.splice(running.indexOf(rows), 1);
        return feeds;
      },
    },
  );
  const inputs = (rows: number): CheckedInputs => ({
    feeds: { x: { dtype: 'float32', dims: [rows], data: new Float32Array(rows) } },
    rows,
    shapeKey: '',
  });
  return {
    queue,
    running,
    end: (rows) => {
      ends.get(rows)!();
    },
    ask: (rows) => queue.submit(inputs(rows)),
  };
}

it('keeps short runs and long ones from waiting for each other', async () => {
  const { queue, running, end, ask } = open(2);
  const long = [ask(10), ask(11), ask(12)];
  const short = ask(3);
  await turns();
  expect(running).toEqual([10, 11, 3]);
  expect(queue.depth).toBe(1);
  end(3);
  expect((await short)['x']!.dims).toEqual([3]);
  end(10);
  await turns();
  expect(running).toEqual([11, 12]);
  end(11);
  end(12);
  expect((await Promise.all(long)).map(({ x }) => x!.dims[0])).toEqual([10, 11, 12]);
  await queue.close();
});

it('holds no more requests together than one would', async () => {
  const { queue, end, ask } = open(1);
  const first = [ask(10), ask(1)];
  await turns();
  const waiting = [ask(11), ask(2), ask(12), ask(3)];
  expect(queue.depth).toBe(4);
  for (const rows of [1, 10]) await expect(ask(rows)).rejects.toThrow('4 requests are waiting');
  for (const rows of [10, 1]) end(rows);
  await turns();
  for (const rows of [11, 2]) end(rows);
  await turns();
  for (const rows of [12, 3]) end(rows);
  await Promise.all([...first, ...waiting]);
  await queue.close();
  await expect(ask(1)).rejects.toThrow('unloaded');
  await expect(ask(9)).rejects.toThrow('unloaded');
});

it('lets all take turns where one thread runs them', async () => {
  const { queue, running, end, ask } = open(0);
  const both = [ask(10), ask(3)];
  await turns();
  expect(running).toEqual([10]);
  end(10);
  await turns();
  expect(running).toEqual([3]);
  end(3);
  await Promise.all(both);
  await queue.close();
});
