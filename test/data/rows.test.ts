import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Column } from '../../src/data/dataset.js';
import { gatherColumn, numbersOf, openRows, partsOf, roomFor, sliceColumn } from '../../src/data/rows.js';
import type { NdArray } from '../../src/ir/tensor.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-rows-'));
});
afterAll(() => rm(root, { recursive: true }));

const rows = 100;
const texts = ['', 'rot', 'grün', 'blau'];
const arrays: Record<string, NdArray> = {
  narrow: {
    dtype: 'float32',
    dims: [rows, 3],
    data: Float32Array.from({ length: rows * 3 }, (_, at) => Math.sin(at)),
  },
  wide: {
    dtype: 'float32',
    dims: [rows, 5, 8],
    data: Float32Array.from({ length: rows * 40 }, (_, at) => at / 7),
  },
  classes: {
    dtype: 'int64',
    dims: [rows],
    data: BigInt64Array.from({ length: rows }, (_, at) => BigInt(at % 5)),
  },
  words: {
    dtype: 'string',
    dims: [rows, 1],
    data: Array.from({ length: rows }, (_, at) => texts[(at * 7) % 4]!),
  },
};

/** The same column in a file, behind some other bytes. */
async function store(array: NdArray, name: string, block: number): Promise<Column> {
  const { dtype, dims, data } = array;
  const raw = dtype === 'string' ? Uint32Array.from(data as string[], (text) => texts.indexOf(text)) : data;
  const bytes = new Uint8Array((raw as Float32Array).buffer);
  const path = join(root, `${name}-${block}`);
  await writeFile(path, Buffer.concat([Buffer.from('xyz'), bytes, Buffer.from('behind')]));
  const stored = { path, offset: 3, length: bytes.length, block };
  return { dtype, dims, data: dtype === 'string' ? { ...stored, texts } : stored };
}

describe.each(Object.keys(arrays))('a column on disk: %s', (name) => {
  const array = arrays[name]!;

  it.each([1, 7, 100, 1000])('is read like one in memory, in blocks of %i rows', async (block) => {
    const stored = await store(array, name, block);
    const fromDisk = openRows(stored);
    const fromMemory = openRows(array);
    fc.assert(
      fc.property(fc.array(fc.nat(rows - 1), { minLength: 1, maxLength: 60 }), fc.nat(9), (order, skip) => {
        const start = Math.min(skip, order.length - 1);
        const found = [fromDisk, fromMemory].map((read) => {
          const into = roomFor(array, 60);
          read(order, start, order.length - start, into);
          return into;
        });
        expect(found[0]).toEqual(found[1]);
      }),
      { numRuns: 25 },
    );
    expect(gatherColumn(stored, [99, 0, 99])).toEqual(gatherColumn(array, [99, 0, 99]));
    expect(sliceColumn(stored, 10, 31)).toEqual(sliceColumn(array, 10, 31));
    expect([...partsOf(stored)]).toEqual([...partsOf(array)]);
    if (name !== 'words') expect(numbersOf(stored)).toEqual(numbersOf(array));
  });
});

describe('a column on disk', () => {
  it('is plain data, as worker threads are handed', async () => {
    const stored = await store(arrays['words']!, 'handed', 10);
    expect(gatherColumn(structuredClone(stored), [3, 50])).toEqual(gatherColumn(arrays['words']!, [3, 50]));
  });

  it('says so when its file is gone or was cut', async () => {
    const stored = await store(arrays['narrow']!, 'cut', 10);
    const path = join(root, 'cut-10');
    const read = openRows(stored);
    await truncate(path, 300);
    const error = { code: 'MAAS_DATA_CHANGED', message: expect.stringContaining('shorter') as string };
    expect(() => gatherColumn(stored, [99])).toThrow(expect.objectContaining(error) as Error);
    await rm(path);
    expect(() => {
      read([0], 0, 1, roomFor(stored, 1));
    }).toThrow(/cannot be read: ENOENT/);
  });
});
