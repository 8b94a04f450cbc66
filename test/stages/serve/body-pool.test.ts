import { expect, it } from 'vitest';
import { BodyPool } from '../../../src/stages/serve/plain-http/body-pool.js';

it('gives memory that ends on a multiple of eight bytes, again and again', () => {
  const pool = new BodyPool(2 ** 20);
  for (const length of [0, 1, 8, 3137, 2 ** 17 + 5, 300_001]) {
    const body = pool.take(length);
    expect(body).toHaveLength(length);
    expect((body.byteOffset + length) % 8).toBe(0);
  }
  const first = pool.take(200_000);
  const second = pool.take(200_000);
  expect(second.buffer).not.toBe(first.buffer);
  pool.give(first);
  pool.give(second);
  expect(pool.take(150_000).buffer).toBe(second.buffer);
  expect(pool.take(250_001).buffer).toBe(first.buffer);
  expect(pool.take(250_001).buffer).not.toBe(first.buffer);
});

it('writes over nothing that a run still reads', async () => {
  const pool = new BodyPool();
  const body = pool.take(200_000);
  const data = new Float32Array(body.buffer, body.byteOffset, 50_000);
  const x = { dtype: 'float32', dims: [50_000], data } as const;
  const ends: ((failed?: Error) => void)[] = [];
  const run = (): Promise<string> =>
    new Promise((resolve, reject) =>
      ends.push((failed) => {
        if (failed) reject(failed);
        else resolve('done');
      }),
    );
  const runs = [pool.during({ x }, run), pool.during({ y: x, z: x }, run)];
  pool.give(body);
  ends[0]!();
  expect(await runs[0]).toBe('done');
  expect(pool.bytes).toBe(0);
  ends[1]!(new Error('failed'));
  await expect(runs[1]).rejects.toThrow('failed');
  expect(pool.bytes).toBe(2 ** 18);
  const again = pool.take(200_000);
  expect(again.buffer).toBe(body.buffer);
  expect(await pool.during({ x }, () => Promise.resolve(1))).toBe(1);
  pool.give(again);
  expect(await pool.during({ x }, () => Promise.resolve(1))).toBe(1);
  expect(pool.bytes).toBe(2 ** 18);
});

it('keeps no more than it may', () => {
  const pool = new BodyPool(2 ** 20);
  const all = Array.from({ length: 9 }, () => pool.take(200_000));
  for (const body of all) pool.give(body);
  expect(pool.bytes).toBe(4 * 2 ** 18);
  pool.give(pool.take(3 * 2 ** 20));
  expect(pool.bytes).toBe(4 * 2 ** 18);
});

it('sets memory aside for large bodies only, and not without end', () => {
  const pool = new BodyPool();
  expect(pool.setAside(100_000)).toBeUndefined();
  const bodies: Buffer[] = [];
  for (let body = pool.setAside(2 ** 26); body; body = pool.setAside(2 ** 26)) bodies.push(body);
  expect(bodies).toHaveLength(4);
  pool.give(bodies.pop()!);
  expect(pool.setAside(2 ** 26)).toHaveLength(2 ** 26);
});
