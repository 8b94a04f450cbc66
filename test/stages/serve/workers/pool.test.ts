import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Feeds } from '../../../../src/runtime/session.js';
import { WorkerLost } from '../../../../src/stages/serve/request-error.js';
import { Member } from '../../../../src/stages/serve/workers/member.js';
import { WorkerPool } from '../../../../src/stages/serve/workers/pool.js';

const entry = new URL('./moody-worker.js', import.meta.url);
const of = (...values: number[]): Feeds => ({
  x: { dtype: 'float32', dims: [values.length], data: Float32Array.from(values) },
});
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
};

let pool: WorkerPool;
let lost: string[];
async function open(size: number, { model = '', runTimeout = 5000, ahead = 0 } = {}): Promise<WorkerPool> {
  lost = [];
  pool = await WorkerPool.open({
    setup: { model, session: {}, fetches: ['y'] },
    size,
    runTimeout,
    ahead,
    warmUp: async (run) => {
      await run(of(1));
    },
    onLost: (reason) => lost.push(reason),
    entry,
  });
  return pool;
}
afterEach(() => {
  vi.restoreAllMocks();
  return pool.close();
});

const answer = async (value: number): Promise<unknown> => (await pool.run(of(value)))['y']!.data[0];

describe('a pool of workers', () => {
  it('gives each run its own answer, more of them than there are workers', async () => {
    await open(2);
    const values = Array.from({ length: 50 }, (_, index) => index / 4);
    expect(await Promise.all(values.map(answer))).toEqual(values.map((value) => value * 2));
    await expect(answer(500)).rejects.toThrow('cannot');
    expect(await answer(3)).toBe(6);
    expect(lost).toEqual([]);
  });

  it('takes large inputs over in memory that it uses again, and leaves the caller its own', async () => {
    await open(2);
    const sizes = [40_000, 80_000, 33_000, 10, 160_000, 40_000];
    await Promise.all(
      sizes.map(async (size, turn) => {
        const data = Float32Array.from({ length: size }, (_, index) => 20 + index + turn);
        const { y } = await pool.run({ x: { dtype: 'float32', dims: [size], data } });
        expect(data).toHaveLength(size);
        expect((y!.data as Float32Array).every((value, index) => value === 2 * data[index]!)).toBe(true);
      }),
    );
    expect(lost).toEqual([]);
  });

  it('fails the run of a worker that dies, once, and replaces the worker', async () => {
    await open(1);
    const error: unknown = await answer(13).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(WorkerLost);
    expect((error as WorkerLost).status).toBe(503);
    expect((error as WorkerLost).message).toContain('out of luck');
    expect(pool.ready).toBe(false);
    await expect(answer(1)).rejects.toThrow('being restarted');
    await until(() => pool.ready);
    expect(await answer(4)).toBe(8);
    expect(lost).toHaveLength(1);
  });

  it('goes on with the other worker meanwhile', async () => {
    await open(2);
    // Both are up when two runs that take a while are done.
    const outcomes = await Promise.allSettled([answer(13), ...[1, 2, 3, 4, 5].map(answer)]);
    expect(outcomes.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0);
    await until(() => pool.ready);
    expect(await Promise.all([5, 6].map(answer))).toEqual([10, 12]);
  });

  it('leaves a hung worker to itself, and is not live once all hang', async () => {
    await open(1, { runTimeout: 100 });
    const start = performance.now();
    await expect(answer(99)).rejects.toThrow('did not end within 0.1 s');
    expect(performance.now() - start).toBeLessThan(450);
    expect(pool.ready).toBe(false);
    expect(pool.live).toBe(false);
    await open(2, { runTimeout: 100 });
    await expect(answer(99)).rejects.toBeInstanceOf(WorkerLost);
    expect(pool.live).toBe(true);
    await until(() => pool.ready);
    expect(await answer(1)).toBe(2);
  });

  it('gives a worker its next run ahead, with as much time for it as for the first', async () => {
    await open(1, { ahead: 1, runTimeout: 900 });
    const given = vi.spyOn(Member.prototype, 'run');
    const answers = Promise.all([answer(99), answer(99), answer(3)]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(given).toHaveBeenCalledTimes(2);
    // Each of the first two takes half a second.
    expect(await answers).toEqual([198, 198, 6]);
    const outcomes = await Promise.allSettled([answer(13), answer(4)]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await until(() => pool.ready);
    expect(await Promise.all([5, 6, 7].map(answer))).toEqual([10, 12, 14]);
    expect(lost).toHaveLength(1);
  });

  it('does not open with a model that is refused, nor without its script', async () => {
    await open(1);
    await expect(open(1, { model: 'broken' })).rejects.toMatchObject({ code: 'MAAS_MODEL_INVALID' });
    const options = { setup: { model: '', session: {}, fetches: [] }, size: 1, runTimeout: 100 };
    const none = new URL('./none.js', import.meta.url);
    await expect(
      WorkerPool.open({ ...options, warmUp: () => Promise.resolve(), onLost: () => undefined, entry: none }),
    ).rejects.toMatchObject({ code: 'MAAS_RUNTIME' });
  });
});
