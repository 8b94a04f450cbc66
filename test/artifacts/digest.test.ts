import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { digestFile, digestOf } from '../../src/artifacts/index.js';
import { makeTemporary } from './fixtures.js';

it('hashes bytes as they are (FIPS 180-2 examples)', () => {
  expect(digestOf(Buffer.from('abc'))).toBe(
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
  expect(digestOf(new Uint8Array())).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
});

it('hashes other values in canonical JSON', () => {
  expect(digestOf({ b: 1, a: 'x' })).toBe(digestOf(Buffer.from('{"a":"x","b":1}')));
  expect(digestOf('abc')).toBe(digestOf(Buffer.from('"abc"')));
});

it('hashes files of all lengths around a block', async () => {
  const folder = await makeTemporary();
  for (const size of [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20]) {
    const bytes = Buffer.alloc(size, 'maas');
    const path = join(folder, String(size));
    await writeFile(path, bytes);
    expect(await digestFile(path)).toBe(digestOf(bytes));
  }
});

it('stops when it is told to', async () => {
  const path = join(await makeTemporary(), 'file');
  await writeFile(path, 'text');
  await expect(digestFile(path, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
    'enough',
  );
});
