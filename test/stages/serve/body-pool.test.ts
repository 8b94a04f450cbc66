import { expect, it } from 'vitest';
import { BodyPool } from '../../../src/stages/serve/plain-http/body-pool.js';

it('gives memory that ends on a multiple of eight bytes, and large memory again', () => {
  const pool = new BodyPool(2 ** 20);
  for (const length of [1, 8, 3137, 2 ** 17 + 5, 300_001]) {
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

it('keeps no more than it may, and nothing small', () => {
  const pool = new BodyPool(2 ** 20);
  pool.give(pool.take(1000));
  expect(pool.bytes).toBe(0);
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
