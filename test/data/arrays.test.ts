import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseNpy } from '../../src/data/arrays/npy.js';
import { dataSchema, digestDataset, encodeRows, loadDataset, type Dataset } from '../../src/data/index.js';
import { gatherRows, lineOf, sliceColumn } from '../../src/data/rows.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { openSession } from '../../src/runtime/session.js';
import { toRawRow } from '../../src/stages/deploy/rows.js';
import { emitFeatures } from '../../src/stages/train/emit-features.js';

const fixtures = fileURLToPath(new URL('../fixtures/data', import.meta.url));
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-arrays-'));
  const files = [
    'arrays.npz',
    'arrays-other.npz',
    'images.npy',
    'labels.npy',
    'images-idx3-ubyte.gz',
    'labels-idx1-ubyte',
  ];
  for (const file of [...files, 'objects.npy', 'half.npy'])
    await copyFile(join(fixtures, file), join(root, file));
});
afterAll(() => rm(root, { recursive: true }));

async function load(source: string, target: string, config: object = {}): Promise<Dataset> {
  return loadDataset(dataSchema.parse({ source, target, ...config }), { root, seed: 1, name: 'test' });
}

/** Rows in the order of the source: label, and the elements of each input. */
function rowsOf({ splits, signature }: Dataset): unknown[][] {
  const rows: unknown[][] = [];
  for (const table of Object.values(splits)) {
    for (let row = 0; row < table.rows; row++) {
      const label = signature.target.labels![Number(sliceColumn(table.target, row, row + 1).data[0])];
      const inputs = Object.values(table.inputs).map((column) => [...sliceColumn(column, row, row + 1).data]);
      rows[lineOf(table, row) - 1] = [label, ...inputs];
    }
  }
  return rows;
}

/** What make.py has put into the arrays. */
const names = ['left', 'right', 'none'];
const pixels = (row: number): number[] => [
  row % 3 === 0 ? 200 : 0,
  0,
  row % 3 === 1 ? 200 : 0,
  row % 3 === 0 ? 200 : 0,
  row,
  row % 3 === 1 ? 200 : 0,
];
const rows = Array.from({ length: 60 }, (_, row) => row);

describe('arrays', () => {
  it.each(['arrays.npz', 'arrays-other.npz'])('are read as numpy wrote them: %s', async (source) => {
    const dataset = await load(source, 'label');
    expect(rowsOf(dataset)).toEqual(rows.map((row) => [names[row % 3], [row / 8], pixels(row)]));
    expect(dataset.signature).toMatchObject({
      features: [
        { name: 'depth', type: 'number', input: 'features' },
        { name: 'image', type: 'array', input: 'image', shape: [2, 3] },
      ],
      inputs: [
        { name: 'features', dtype: 'float32', shape: ['N', 1] },
        { name: 'image', dtype: 'float32', shape: ['N', 2, 3] },
      ],
      target: { labels: ['left', 'none', 'right'] },
    });
    expect(dataset.schema!.columns).toContainEqual({
      name: 'image',
      role: 'feature',
      type: 'array',
      shape: [2, 3],
    });
    expect(dataset.notes).toEqual([]);
    expect(await digestDataset(dataSchema.parse({ source, target: 'label' }), { root, seed: 1 })).toBe(
      dataset.digest,
    );
  });

  it.each([
    ['images.npy', 'labels.npy'],
    ['images-idx3-ubyte.gz', 'labels-idx1-ubyte'],
    ['images.npy', 'labels-idx1-ubyte'],
  ])('are read from a file each: %s and %s', async (source, target) => {
    const dataset = await load(source, target);
    expect(rowsOf(dataset)).toEqual(rows.map((row) => [String(row % 3), pixels(row)]));
    expect(dataset.signature.inputs).toEqual([{ name: 'x', dtype: 'float32', shape: ['N', 2, 3] }]);
    expect(Object.values(dataset.splits).map((table) => table.rows)).toEqual([42, 9, 9]);
  });

  it('change the digest with the target file', async () => {
    const before = (await load('images.npy', 'labels.npy')).digest;
    const bytes = await readFile(join(root, 'labels.npy'));
    bytes[bytes.length - 8] = 1;
    await writeFile(join(root, 'labels-changed.npy'), bytes);
    await rm(join(root, 'labels.npy'));
    await copyFile(join(root, 'labels-changed.npy'), join(root, 'labels.npy'));
    expect((await load('images.npy', 'labels.npy')).digest).not.toBe(before);
    await copyFile(join(fixtures, 'labels.npy'), join(root, 'labels.npy'));
  });

  it.each(['image', undefined])(
    'go into the model with mean 0 and deviation 1, and come from nested lists: %s',
    async (only) => {
      const dataset = await load('arrays.npz', 'label', only === undefined ? {} : { features: [only] });
      const { signature, splits } = dataset;
      const g = new GraphBuilder();
      for (const { name, dtype, shape } of signature.inputs) g.input(name, dtype, shape);
      g.output(emitFeatures(g, dataset), 'matrix');
      const session = await openSession(
        encodeModel({ irVersion: 10, opsets: { '': 21 }, producer: 'test', graph: g.build(), metadata: {} }),
      );
      const order = rows.slice(0, splits.train.rows);
      const inputs = gatherRows(splits.train.inputs, order);
      const { matrix } = await session.run(inputs, ['matrix']);
      expect(matrix!.dims).toEqual(only === undefined ? [42, 7] : [42, 2, 3]);
      if (only !== undefined) {
        const values = [...(matrix!.data as Float32Array)];
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        expect(mean).toBeCloseTo(0, 5);
        expect(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length).toBeCloseTo(1, 4);
      }
      const raw = order.map((row) => toRawRow(signature.features, inputs, row));
      const encoded = encodeRows(signature, JSON.parse(JSON.stringify(raw)) as unknown[]);
      expect(encoded).toEqual({ ok: true, rows: 42, inputs });
      await session.close();
    },
  );

  it.each([
    [
      [
        [1, 2],
        [3, 4],
      ],
      'must be nested lists of shape [2, 3], found a list of 2 at depth 2',
    ],
    [[1, 2, 3], 'found a list of 3 at depth 1'],
    [
      [
        [1, 2, 3],
        [1, 2, '3'],
      ],
      'must hold numbers, found the string "3"',
    ],
    [
      [
        [1, 2, 3],
        [1, 2, 1e300],
      ],
      'holds a number that is too large: 1e+300',
    ],
    [7, 'found the number 7 at depth 1'],
    [undefined, 'is missing'],
  ])('in a request: %j %s', async (image, message) => {
    const { signature } = await load('arrays.npz', 'label', { features: ['image'] });
    const encoded = encodeRows(signature, [{ image }]);
    expect(encoded.ok ? '' : encoded.errors[0]!.message).toContain(message);
  });
});

describe('a wrong array file', () => {
  const npy = (header: string, body: Buffer): Buffer => {
    const size = Buffer.alloc(2);
    size.writeUInt16LE(header.length);
    return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), size, Buffer.from(header), body]);
  };

  it.each<[string, () => Promise<unknown>, string]>([
    ['objects', () => load('images.npy', 'objects.npy'), 'objects.npy has elements of type O'],
    ['half precision', () => load('half.npy', 'labels.npy'), 'half.npy has elements of type f2'],
    [
      'no such array',
      () => load('arrays.npz', 'labels'),
      'there is no array "labels", which data.target names',
    ],
    [
      'no such feature',
      () => load('arrays.npz', 'label', { features: ['imag'] }),
      'there is no array "imag"',
    ],
    ['no such file', () => load('images.npy', 'label.npy'), 'there is no such file'],
    [
      'a target that is no array',
      () => load('images.npy', 'arrays.npz'),
      'the target "arrays.npz" is no file of one array',
    ],
    [
      'a target of many numbers',
      () => load('arrays.npz', 'image'),
      'the target "image" has several numbers a row',
    ],
    [
      'another number of rows',
      async () => {
        await writeFile(
          join(root, 'short.npy'),
          npy("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", Buffer.alloc(16)),
        );
        return load('images.npy', 'short.npy');
      },
      '"x" has 60 rows, the target has 2',
    ],
    [
      'NaN',
      async () => {
        const values = Float32Array.from({ length: 120 }, (_, at) => (at === 77 ? NaN : at));
        await writeFile(
          join(root, 'nan.npy'),
          npy("{'descr': '<f4', 'fortran_order': False, 'shape': (60, 2), }", Buffer.from(values.buffer)),
        );
        return load('nan.npy', 'labels.npy');
      },
      '"x" has NaN in row 39, at element 1',
    ],
  ])('is refused: %s', async (_, make, message) => {
    await expect(make()).rejects.toThrow(message);
  });

  it.each(['arrays.npz', 'arrays-other.npz', 'images.npy', 'images-idx3-ubyte.gz', 'labels-idx1-ubyte'])(
    'that was cut anywhere, or is another, is told, never a crash: %s',
    async (name) => {
      const bytes = await readFile(join(fixtures, name));
      const [source, target] = name.startsWith('arrays')
        ? [name, 'label']
        : name.startsWith('labels')
          ? ['images.npy', name]
          : [name, 'labels.npy'];
      for (const length of [1, 3, 5, 9, 11, 60, 127, bytes.length - 30, bytes.length - 1]) {
        if (length >= bytes.length) continue;
        await writeFile(join(root, name), bytes.subarray(0, length));
        await expect(load(source, target)).rejects.toMatchObject({ code: 'MAAS_DATA_SYNTAX' });
      }
      await writeFile(join(root, name), 'x,y\n1,2\n');
      await expect(load(source, target)).rejects.toMatchObject({ code: 'MAAS_DATA_SYNTAX' });
      await writeFile(join(root, name), bytes);
    },
  );

  it('of NPY with any header is read or told', () => {
    for (const header of [
      '',
      '{}',
      "{'descr': '<f4', 'shape': (3",
      "{'descr': [('a', '<f4')], 'shape': (1,), }",
      "{'descr': '<f4', 'shape': (-1,)}",
    ]) {
      expect(() => parseNpy(npy(header, Buffer.alloc(4)), 'x.npy', 'x')).toThrow(/holds no plain array/);
    }
    expect(
      parseNpy(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (), }", Buffer.of(1)), 'x', 'x'),
    ).toEqual({ dims: [], data: Uint8Array.of(1) });
  });
});
