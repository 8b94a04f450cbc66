import { appendFile, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataSchema, digestDataset, loadDataset, type Dataset } from '../../../src/data/index.js';
import { decoderVersion } from '../../../src/data/images/sharp.js';
import { encodePng } from '../../../src/data/images/png.js';
import { gatherColumn, lineOf, partsOf, sliceColumn } from '../../../src/data/rows.js';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import { openSession } from '../../../src/runtime/session.js';
import { emitFeatures } from '../../../src/stages/train/emit-features.js';

const [height, width] = [6, 5];
const classes = ['circle', 'ring', 'square'];
let base: string;
beforeAll(async () => (base = await mkdtemp(join(tmpdir(), 'maas-images-'))));
afterAll(() => rm(base, { recursive: true }));

/** uint8 [3, height, width]: another in each row. */
const pixelsOf = (row: number): Uint8Array =>
  Uint8Array.from({ length: 3 * height * width }, (_, at) => (row * 37 + at * (row + 3)) % 256);

/** A folder with `rows` images, and what is in it in the order of its names. */
async function makeFolder(
  rows = 30,
): Promise<{ root: string; expected: { label: string; pixels: number[] }[] }> {
  const root = await mkdtemp(join(base, 'folder-'));
  const made = Array.from({ length: rows }, (_, row) => {
    const label = classes[row % 3]!;
    return {
      label,
      row,
      name: `images/${label}/${row % 2 ? 'more/' : ''}${String(row).padStart(3, '0')}.png`,
    };
  });
  for (const { name, row } of made) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), encodePng(pixelsOf(row), [3, height, width]));
  }
  made.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { root, expected: made.map(({ label, row }) => ({ label, pixels: [...pixelsOf(row)] })) };
}

const load = (root: string, config: object = {}, seed = 1): Promise<Dataset> =>
  loadDataset(dataSchema.parse({ source: 'images/', target: 'shape', ...config }), {
    root,
    seed,
    name: 'test',
  });

/** A PNG whose header says that it is a square of `side` pixels. */
function claimSize(png: Buffer, side: number): Buffer {
  png.writeUInt32BE(side, 16);
  png.writeUInt32BE(side, 20);
  png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
  return png;
}

/** Rows in the order of the source. */
function rowsOf({ splits, signature }: Dataset, input = 'image'): { label: string; pixels: number[] }[] {
  const rows: { label: string; pixels: number[] }[] = [];
  for (const table of Object.values(splits)) {
    for (let row = 0; row < table.rows; row++) {
      const label = signature.target.labels![Number(sliceColumn(table.target, row, row + 1).data[0])]!;
      const pixels = [...(sliceColumn(table.inputs[input]!, row, row + 1).data as Uint8Array)];
      rows[lineOf(table, row) - 1] = { label, pixels };
    }
  }
  return rows;
}

describe('a folder of images', () => {
  it('is read as pixels with the names of its folders', async () => {
    const { root, expected } = await makeFolder();
    const dataset = await load(root);
    expect(rowsOf(dataset)).toEqual(expected);
    const image = {
      height,
      width,
      channels: 3,
      fit: 'cover',
      background: '#000000',
      decoder: await decoderVersion(),
    };
    expect(dataset.signature).toMatchObject({
      features: [
        { name: 'image', type: 'image', input: 'image', column: 0, shape: [3, height, width], image },
      ],
      inputs: [{ name: 'image', dtype: 'uint8', shape: ['N', 3, height, width] }],
      target: { name: 'shape', labels: classes },
    });
    expect(dataset.schema!.columns).toEqual([
      { name: 'image', role: 'feature', type: 'image', shape: [3, height, width] },
      expect.objectContaining({ name: 'shape', role: 'target' }),
    ]);
  });

  it('is the same on disk as in memory, and the same each time', async () => {
    const { root } = await makeFolder();
    const [once, again, stored] = [await load(root), await load(root), await load(root, { memory: 0 })];
    expect(again).toEqual(once);
    expect(stored.splits.train.inputs['image']!.data).toHaveProperty('path');
    expect({ ...stored, splits: {} }).toEqual({ ...once, splits: {} });
    for (const split of ['train', 'validation', 'test'] as const) {
      const [a, b] = [once.splits[split], stored.splits[split]];
      const order = Array.from({ length: a.rows }, (_, row) => (row * 7) % a.rows);
      expect(gatherColumn(b.inputs['image']!, order)).toEqual(gatherColumn(a.inputs['image']!, order));
      expect([...partsOf(b.inputs['image']!)]).toEqual([...partsOf(a.inputs['image']!)]);
    }
    expect(
      await digestDataset(dataSchema.parse({ source: 'images/', target: 'shape' }), { root, seed: 1 }),
    ).toBe(once.digest);
  });

  it('keeps copies of an image together, and divides by what is in the files', async () => {
    const { root } = await makeFolder(60);
    const config = { split: { train: 0.5, validation: 0.25, test: 0.25, by: 'hash' } };
    const placesOf = ({ splits }: Dataset): Map<string, string> =>
      new Map(
        Object.entries(splits).flatMap(([name, { inputs, rows }]) =>
          Array.from({ length: rows }, (_, row) => [
            sliceColumn(inputs['image']!, row, row + 1).data.join(),
            name,
          ]),
        ),
      );
    const before = placesOf(await load(root, config));
    // Copies under other names, and another image.
    for (const row of [0, 3, 6]) {
      const bytes = await readFile(join(root, `images/circle/${row % 2 ? 'more/' : ''}00${row}.png`));
      await writeFile(join(root, `images/circle/copy-${row}.png`), bytes);
    }
    await writeFile(join(root, 'images/ring/new.png'), encodePng(pixelsOf(99), [3, height, width]));
    const dataset = await load(root, config);
    const after = placesOf(dataset);
    for (const [pixels, split] of before) expect(after.get(pixels)).toBe(split);
    expect(after.size).toBe(before.size + 1);
    expect(dataset.schema!.rows).toBe(64);
  });

  it('changes its digest with a file, and with how images are read', async () => {
    const { root } = await makeFolder();
    const digest = async (config: object = {}): Promise<string> =>
      digestDataset(dataSchema.parse({ source: 'images', target: 'shape', ...config }), { root, seed: 1 });
    const first = await digest();
    const digests = [
      first,
      await digest({ images: { fit: 'fill' } }),
      await digest({ images: { size: [6, 6] } }),
    ];
    await writeFile(join(root, 'images/ring/001.png'), encodePng(pixelsOf(77), [3, height, width]));
    digests.push(await digest());
    expect(new Set(digests).size).toBe(4);
    expect(await digest({ images: { mean: [0, 0, 0], std: [1, 1, 1] } })).toBe(digests[3]);
  });

  it.each([
    { images: undefined },
    { images: { mean: [0.5, 0.4, 0.3], std: [0.2, 0.1, 0.3] } },
    { images: { colorMode: 'grayscale' } },
  ])('scales each channel inside of the model: $images', async ({ images }) => {
    const { root } = await makeFolder();
    const dataset = await load(root, { images });
    const g = new GraphBuilder('scaling');
    for (const { name, dtype, shape } of dataset.signature.inputs) g.input(name, dtype, shape);
    const [out] = [emitFeatures(g, dataset)];
    g.output(out);
    const opsets = { '': 21, 'ai.onnx.ml': 4 };
    const model = { irVersion: 10, opsets, producer: 'maas', graph: g.build(), metadata: {} };
    const session = await openSession(encodeModel(model));
    const column = dataset.splits.train.inputs['image']!;
    const [rows, channels = 1] = column.dims;
    const pixels = sliceColumn(column, 0, rows!);
    const scaled = (await session.run({ image: pixels }))[out]!;
    await session.close();
    expect(scaled.dims).toEqual(column.dims);
    const plane = height * width;
    for (let channel = 0; channel < channels; channel++) {
      const part = ({ data }: { data: ArrayLike<unknown> }): number[] =>
        Array.from(data, Number).filter((_, at) => Math.floor(at / plane) % channels === channel);
      const [raw, got] = [part(pixels).map((value) => value / 255), part(scaled)];
      const mean = images?.mean?.[channel] ?? raw.reduce((sum, value) => sum + value, 0) / raw.length;
      const spread = Math.sqrt(raw.reduce((sum, value) => sum + (value - mean) ** 2, 0) / raw.length);
      const std = images?.std?.[channel] ?? spread;
      const errors = raw.map((value, at) => Math.abs(got[at]! - (value - mean) / std));
      expect(Math.max(...errors)).toBeLessThan(1e-4);
    }
  });
});

describe('a list of images', () => {
  it('is a column of type image beside others, in CSV and JSONL, with paths relative to the list', async () => {
    const { root, expected } = await makeFolder();
    const names = expected.map((_, row) => {
      const found = Array.from({ length: 30 }, (_unused, at) => at).find(
        (at) => pixelsOf(at).join() === expected[row]!.pixels.join(),
      )!;
      return `${classes[found % 3]!}/${found % 2 ? 'more/' : ''}${String(found).padStart(3, '0')}.png`;
    });
    const rows = names.map((file, row) => ({ file, weight: row / 4, kind: expected[row]!.label }));
    const csv = rows.map((row) => Object.values(row).join()).join('\n');
    await writeFile(join(root, 'images/list.csv'), `file,weight,kind\n${csv}\n`);
    await writeFile(join(root, 'images/list.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
    const config = { target: 'kind', types: { file: 'image' }, images: { size: [height, width] } };
    for (const source of ['images/list.csv', 'images/list.jsonl']) {
      const dataset = await load(root, { ...config, source });
      const found = rowsOf(dataset, 'file').filter(() => true);
      expect(found).toEqual(expected);
      expect(dataset.signature.inputs).toMatchObject([
        { name: 'features' },
        { name: 'file', dtype: 'uint8' },
      ]);
    }
  });
});

describe('bad images', () => {
  const error = (code: string, message: RegExp, file: RegExp, hint = /./) =>
    expect.objectContaining({
      code,
      message: expect.stringMatching(message) as string,
      place: expect.objectContaining({ file: expect.stringMatching(file) as string }) as unknown,
      hint: expect.stringMatching(hint) as string,
    }) as unknown;

  it('are named, all of them, with what is wrong', async () => {
    const { root } = await makeFolder();
    await truncate(join(root, 'images/circle/012.png'), 90);
    await writeFile(join(root, 'images/ring/004.png'), 'not an image');
    await writeFile(join(root, 'images/square/002.png'), '');
    await writeFile(
      join(root, 'images/square/008.png'),
      claimSize(encodePng(pixelsOf(8), [3, 6, 5]), 10_001),
    );
    const failure = await load(root, { images: { size: [4, 4] } }).catch((thrown: unknown) => thrown);
    expect(failure).toEqual(
      error('MAAS_DATA_VALUE', /^the image is damaged or cut off \(/, /circle\/012\.png$/),
    );
    expect((failure as { others: unknown[] }).others).toEqual([
      error('MAAS_DATA_VALUE', /^the image is no JPEG, PNG, /, /ring\/004\.png$/),
      error('MAAS_DATA_VALUE', /^the image is empty$/, /square\/002\.png$/),
      error('MAAS_DATA_VALUE', /has more than 100 million pixels/, /square\/008\.png$/),
    ]);
  });

  it('of other sizes are refused unless a size is said', async () => {
    const { root } = await makeFolder();
    await writeFile(join(root, 'images/ring/100.png'), encodePng(new Uint8Array(48), [3, 4, 4]));
    await expect(load(root)).rejects.toEqual(
      error('MAAS_DATA_VALUE', /has 4 × 4 pixels, the first has 6 × 5.*size: \[6, 5\]/, /ring\/100\.png$/),
    );
    expect((await load(root, { images: { size: [3, 3] } })).signature.inputs[0]!.shape).toEqual([
      'N',
      3,
      3,
      3,
    ]);
  });

  it('cannot hide in folders', async () => {
    const { root } = await makeFolder();
    await writeFile(join(root, 'images/.DS_Store'), '');
    await writeFile(join(root, 'images/ring/readme.txt'), '');
    const { notes } = await load(root);
    expect(notes).toContain("left out 1 file without an image's ending: ring/readme.txt");
    await writeFile(join(root, 'images/loose.png'), encodePng(pixelsOf(3), [3, height, width]));
    await expect(load(root)).rejects.toEqual(
      error('MAAS_DATA_VALUE', /no class folder/, /loose\.png$/, /data\.types/),
    );
    await expect(load(root, { source: 'image' })).rejects.toEqual(
      error('MAAS_DATA_MISSING', /no such folder/, /image$/, /Did you mean "images"/),
    );
    await expect(load(root, { source: 'images/ring/readme' })).rejects.toEqual(
      error('MAAS_DATA_MISSING', /no such folder/, /readme$/),
    );
    await mkdir(join(root, 'empty'));
    await expect(load(root, { source: 'empty' })).rejects.toEqual(
      error('MAAS_DATA_EMPTY', /no image/, /empty$/),
    );
    await expect(load(join(root, 'images/ring'), { source: '001.png/' })).rejects.toMatchObject({
      code: 'MAAS_DATA_MISSING',
    });
    await mkdir(join(root, 'parts/train/cat'), { recursive: true });
    await mkdir(join(root, 'parts/test/cat'), { recursive: true });
    for (const part of ['train', 'test'])
      await writeFile(join(root, `parts/${part}/cat/1.png`), encodePng(pixelsOf(3), [3, height, width]));
    await expect(load(root, { source: 'parts' })).rejects.toEqual(
      error('MAAS_DATA_COLUMN', /test, train are parts of data/, /parts$/, /data\.split/),
    );
  });

  it('of a list are told with the line that names them', async () => {
    const { root } = await makeFolder();
    const config = { source: 'list.csv', target: 'kind', types: { file: 'image' } };
    const write = (cell: string): Promise<void> =>
      writeFile(join(root, 'list.csv'), `file,kind\nimages/circle/000.png,a\n${cell},b\n`);
    await write('images/none.png');
    await expect(load(root, config)).rejects.toMatchObject({
      code: 'MAAS_DATA_MISSING',
      message: `the image ${join(root, 'images/none.png')} is not there`,
      place: { file: join(root, 'list.csv'), line: 3, column: 1 },
    });
    await write('');
    await expect(load(root, config)).rejects.toMatchObject({ code: 'MAAS_DATA_VALUE', place: { line: 3 } });
    await write('https://example.org/cat.png');
    await expect(load(root, config)).rejects.toMatchObject({
      message: expect.stringContaining('is an address') as string,
    });
    await expect(load(root, { ...config, memory: 0 })).rejects.toMatchObject({ code: 'MAAS_DATA_COLUMN' });
  });

  it('that change between two looks are noticed', async () => {
    const { root } = await makeFolder();
    const path = join(root, 'images/circle/000.png');
    const first = await load(root);
    await appendFile(path, 'x');
    expect((await load(root)).digest).not.toBe(first.digest);
  });
});
