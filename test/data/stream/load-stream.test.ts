import { mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataSchema, digestDataset, loadDataset, type Dataset } from '../../../src/data/index.js';
import { isStored, lineOf, sliceColumn } from '../../../src/data/rows.js';
import { MaasError } from '../../../src/errors.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-stream-'));
});
afterAll(() => rm(root, { recursive: true }));

type Config = Record<string, unknown>;

async function load(config: Config, memory: number): Promise<Dataset> {
  const data = dataSchema.parse({ source: 'data.csv', target: 'y', ...config, memory });
  return loadDataset(data, { root, seed: 3, name: 'test' });
}

/** Everything in a data set but its digest, which says where it lies. */
function contentOf({ splits, signature, statistics, schema, notes }: Dataset): unknown {
  const tables = Object.entries(splits).map(([name, { rows, inputs, target, ...table }]) => [
    name,
    rows,
    Object.entries(inputs).map(([input, column]) => [input, sliceColumn(column, 0, rows)]),
    sliceColumn(target, 0, rows),
    Array.from({ length: rows }, (_, row) => lineOf({ rows, inputs, target, ...table }, row)),
  ]);
  return { tables, signature: { ...signature, data: undefined }, statistics, schema, notes };
}

/** What came of it, be it data or an error. */
async function outcome(config: Config, memory: number): Promise<unknown> {
  try {
    return contentOf(await load(config, memory));
  } catch (error) {
    if (!(error instanceof MaasError)) throw error;
    const { code, message, place, hint } = error;
    return { code, message, place, hint };
  }
}

const number = fc.oneof(
  fc.integer({ min: -3, max: 3 }).map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e20, max: 1e20 }).map(String),
  fc.constantFrom(
    '1e3',
    '.5',
    '-0',
    '+7',
    '007.250',
    '1E-30',
    '12345678901234567890',
    '0.1234567890123456789',
  ),
);
const colour = fc.constantFrom('red', 'blue', 'grün', 'a "b"', 'x\ny', 'back\\slash', '7', 'tab\there');
const gap = fc.constantFrom('', 'NA', '?', 'nan', '-999');
const maybe = (cell: fc.Arbitrary<string>, share: number): fc.Arbitrary<string> =>
  fc.oneof({ arbitrary: cell, weight: 20 }, { arbitrary: gap, weight: share });

const rows = fc.array(
  fc.tuple(
    maybe(number, 0),
    maybe(number, 3),
    maybe(colour, 2),
    fc.constantFrom('g1', 'g2', 'g3', 'g4', 'g5'),
    fc.oneof(
      fc
        .date({ noInvalidDate: true, min: new Date(0), max: new Date('2100-01-01') })
        .map((date) => date.toISOString()),
      fc.constant('2026-01-31'),
    ),
    fc.constantFrom('a', 'b', 'c'),
    number,
  ),
  { minLength: 1, maxLength: 60 },
);
const header = ['n', 'gaps', 'colour', 'who', 'day', 'y', 'amount'];
const write = (cell: string): string => (/["\n,]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
const toCsv = (table: readonly (readonly string[])[]): string =>
  [header, ...table].map((cells) => cells.map(write).join()).join('\n');

const configs: Config[] = [
  {},
  { exclude: ['day'] },
  { exclude: ['day'], missing: { markers: [-999], numbers: 'mean', categories: 'mostFrequent' } },
  {
    exclude: ['day', 'amount'],
    missing: { markers: ['-999'], target: 'drop', columns: { gaps: 7, n: 'median' } },
  },
  { exclude: ['day'], missing: { numbers: 'error', categories: 'error' } },
  { features: ['n', 'gaps'], split: { train: 0.5, validation: 0.25, test: 0.25, by: 'hash' } },
  { exclude: ['day'], split: { train: 0.6, validation: 0.2, test: 0.2, group: 'who' } },
  { split: { train: 0.6, validation: 0.2, test: 0.2, time: 'day' } },
  { exclude: ['day'], split: { train: 0.6, validation: 0.2, test: 0.2, time: 'amount' } },
  { target: 'amount', task: 'regression', exclude: ['day'], types: { n: 'category' } },
  { target: 'gaps', missing: { target: 'drop' }, exclude: ['day'] },
  {
    target: 'n',
    task: 'classification',
    features: ['colour', 'gaps'],
    split: { train: 0.5, validation: 0.25, test: 0.25, by: 'hash' },
  },
];

describe('a source that is read in a stream', () => {
  it.each(configs)('gives the same as in memory, to the bit, or the same error: %j', async (config) => {
    let good = 0;
    await fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 4 }), async (table, times) => {
        // Copies of rows stay together; and enough of each class makes it a data set.
        const all = Array.from({ length: times }, (_, time) =>
          table.map((cells, row) => (row % 3 === 0 ? cells : cells.with(6, String(row + time / 8)))),
        ).flat();
        await writeFile(join(root, 'data.csv'), toCsv(all));
        const expected = await outcome(config, 256);
        if ('tables' in (expected as object)) good += 1;
        expect(await outcome(config, 0)).toEqual(expected);
      }),
      { numRuns: 16, seed: 5 },
    );
    expect(good).toBeGreaterThan(1);
  });

  const table = Array.from({ length: 400 }, (_, row) => [
    row,
    row % 7,
    row % 3 ? 'red' : 'blue',
    row % 2 ? 'a' : 'b',
  ]);
  const content = ['n,m,colour,y', ...table.map((cells) => cells.join())].join('\n');

  it('finds out what a column holds from all rows, not from the first', async () => {
    const late = Array.from({ length: 3000 }, (_, row) =>
      [row < 1200 ? row % 9 : `t${row % 9}`, row % 2 ? 'a' : 'b'].join(),
    );
    await writeFile(join(root, 'data.csv'), ['code,y', ...late].join('\n'));
    expect(await outcome({}, 0)).toEqual(await outcome({}, 256));
  });

  it('is encoded once, and again when what is kept is damaged', async () => {
    await writeFile(join(root, 'data.csv'), content);
    const shelf = join(root, '.maas', 'data');
    await rm(shelf, { recursive: true, force: true });
    const dataset = await load({}, 0);
    expect(dataset.digest).toBe(
      await digestDataset(dataSchema.parse({ source: 'data.csv', target: 'y', memory: 0 }), {
        root,
        seed: 3,
      }),
    );
    expect(await readdir(shelf)).toEqual([dataset.digest]);
    const features = dataset.splits.train.inputs['features']!;
    expect(isStored(features)).toBe(true);
    const before = contentOf(dataset);
    const folder = join(shelf, dataset.digest);
    const file = join(folder, 'train-0.bin');
    const made = (await stat(file)).ino;
    expect(contentOf(await load({}, 0))).toEqual(before);
    expect((await stat(file)).ino).toBe(made);
    await truncate(file, 8);
    expect(contentOf(await load({}, 0))).toEqual(before);
    await writeFile(join(folder, 'dataset.json'), '{"version":');
    expect(contentOf(await load({}, 0))).toEqual(before);
    expect(
      (await readdir(folder)).filter(
        (name) => !/^dataset.json$|^(train|validation|test)-[0-3].bin$/.test(name),
      ),
    ).toEqual([]);
  });

  it('leaves nothing behind when it fails or is stopped, and keeps two data sets', async () => {
    const shelf = join(root, '.maas', 'data');
    await rm(shelf, { recursive: true, force: true });
    await writeFile(join(root, 'data.csv'), `${content}\n1,2`);
    await expect(load({}, 0)).rejects.toThrow('the row has 2 fields');
    expect(await readdir(shelf)).toEqual([]);
    await writeFile(join(root, 'data.csv'), content);
    const data = dataSchema.parse({ source: 'data.csv', target: 'y', memory: 0 });
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(loadDataset(data, { root, seed: 3, name: 'test', signal })).rejects.toThrow('stopped');
    expect(await readdir(shelf)).toEqual([]);
    for (const exclude of [['n'], ['m'], ['colour']]) await load({ exclude }, 0);
    expect(await readdir(shelf)).toHaveLength(2);
  });
});
