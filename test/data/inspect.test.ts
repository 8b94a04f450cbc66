import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataSchema, loadDataset, type Dataset } from '../../src/data/index.js';
import { lineOf, numbersOf } from '../../src/data/rows.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-inspect-'));
});
afterAll(() => rm(root, { recursive: true }));

/** A table of `count` rows from a function per row that gives its cells. */
async function load(
  header: string,
  count: number,
  cells: (row: number) => unknown[],
  config: Record<string, unknown> = {},
): Promise<Dataset> {
  const rows = Array.from({ length: count }, (_, row) => cells(row).join(','));
  await writeFile(join(root, 'data.csv'), [header, ...rows, ''].join('\n'));
  const data = dataSchema.parse({ source: 'data.csv', target: 'y', ...config });
  return loadDataset(data, { root, seed: 1, name: 'test' });
}

describe('notes on the data', () => {
  it('are none where nothing is odd', async () => {
    const { notes } = await load('a,b,y', 40, (row) => [row, row % 3, row % 2 ? 'p' : 'q']);
    expect(notes).toEqual([]);
  });

  it('name constant columns and copies of the target', async () => {
    const { notes } = await load('a,same,copy,y', 40, (row) => [row, 7, row % 2, row % 2 ? 'p' : 'q']);
    expect(notes).toEqual([
      'column "same" has the same value in every row: it can be listed under data.exclude',
      'column "copy" gives the target "y" away in every row: list it under data.exclude, unless it is known when the model is asked',
    ]);
  });

  it('know a copy of an amount in another unit', async () => {
    const { notes } = await load('a,celsius,y', 40, (row) => [row % 9, row / 3, (row / 3) * 1.8 + 32], {
      task: 'regression',
    });
    expect(notes).toEqual([expect.stringContaining('column "celsius" gives the target "y" away')]);
  });

  it('name texts that come up in held-out rows only', async () => {
    const { notes, splits } = await load('colour,n,y', 90, (row) => [
      row % 10 === 0 ? `rare ${row}` : 'red',
      row / 7,
      row % 2 ? 'p' : 'q',
    ]);
    const texts = (name: 'train' | 'validation' | 'test') => splits[name].inputs['colour']!.data as string[];
    const seen = new Set(texts('train'));
    const unseen = [...texts('validation'), ...texts('test')].filter((text) => !seen.has(text)).sort();
    expect(unseen.length).toBeGreaterThan(0);
    const shown = unseen.map((text) => JSON.stringify(text)).join(', ');
    expect(notes).toEqual([`column "colour" has texts in held-out rows that no training row has: ${shown}`]);
  });

  it.each([256, 0])('let each text of words be a new one, with %i MB of memory', async (memory) => {
    const { notes } = await load('words,y', 60, (row) => [`this is row ${row}`, row % 2 ? 'p' : 'q'], {
      types: { words: 'text' },
      memory,
    });
    expect(notes).toEqual([]);
  });

  it('name what gives a further target away', async () => {
    const { notes } = await load(
      'a,copy,z,y',
      40,
      (row) => [row % 9, row / 3, 7 * row, row % 2 ? 'p' : 'q'],
      {
        target: ['y', 'z'],
      },
    );
    expect(notes).toEqual([expect.stringContaining('column "copy" gives the target "z" away')]);
  });

  it('name classes of a further target that no training row has', async () => {
    const kind = (row: number) => (row % 5 === 0 ? `rare ${row}` : 'usual');
    const cells = (row: number) => [row % 9, row / 3, kind(row), row % 2 ? 'p' : 'q'];
    const { notes } = await load('a,b,z,y', 40, cells, { target: ['y', 'z'] });
    expect(notes).toEqual([
      expect.stringMatching(/^the target "z" has classes that no training row has: "rare \d+"/),
    ]);
  });

  it('give the lines of held-out rows whose features were trained on', async () => {
    const { notes, splits } = await load('a,y', 60, (row) => [
      row % 6,
      row % 2 === Math.floor(row / 30) ? 'p' : 'q',
    ]);
    const trained = new Set(splits.train.inputs['features']!.data as Float32Array);
    const held = [splits.validation, splits.test].flatMap((table) =>
      numbersOf(table.inputs['features']!).flatMap((value, row) =>
        trained.has(value) ? [lineOf(table, row)] : [],
      ),
    );
    expect(held.length).toBeGreaterThan(5);
    const first = held.sort((a, b) => a - b).slice(0, 5);
    expect(notes).toContain(
      `${held.length} held-out rows have the same features as a training row (lines ${first.join(', ')}, …)`,
    );
  });

  it('name rare classes', async () => {
    const { notes } = await load('a,y', 100, (row) => [row, row % 20 ? 'p' : 'q']);
    expect(notes).toEqual([
      'classes with few rows: "q" (5), the largest has 95; look at recall, not at accuracy alone',
    ]);
  });
});

describe('the schema', () => {
  it('says what each column holds, the same each time', async () => {
    const make = (): Promise<Dataset> =>
      load(
        'id,size,colour,y',
        30,
        (row) => [`no ${row}`, row % 5 ? row : 'NA', row % 3 ? 'red' : '?', row % 2 ? 'p' : 'q'],
        { exclude: ['id'] },
      );
    const { schema, splits } = await make();
    expect(schema).toEqual({
      schemaVersion: 1,
      rows: 30,
      splits: { train: splits.train.rows, validation: splits.validation.rows, test: splits.test.rows },
      columns: [
        { name: 'id', role: 'excluded' },
        {
          name: 'size',
          role: 'feature',
          type: 'number',
          missing: 6,
          written: ['NA'],
          distinct: 24,
          min: 1,
          max: 29,
          mean: 15,
        },
        {
          name: 'colour',
          role: 'feature',
          type: 'category',
          missing: 10,
          written: ['?'],
          distinct: 1,
          categories: [{ value: 'red', rows: 20 }],
        },
        {
          name: 'y',
          role: 'target',
          type: 'category',
          missing: 0,
          distinct: 2,
          categories: [
            { value: 'p', rows: 15 },
            { value: 'q', rows: 15 },
          ],
        },
      ],
    });
    expect(JSON.stringify((await make()).schema)).toBe(JSON.stringify(schema));
  });
});

const real = resolve(import.meta.dirname, '../../../shared/data');
const absent = existsSync(join(real, 'titanic.csv'))
  ? ''
  : ' (skipped: no ../shared/data beside the repository)';
describe.skipIf(absent !== '')(`titanic${absent}`, () => {
  it('has a column that gives survival away', async () => {
    const config = dataSchema.parse({ source: 'titanic.csv', target: 'survived' });
    const { notes } = await loadDataset(config, { root: real, seed: 1, name: 'titanic' });
    expect(notes!.filter((note) => note.includes('away'))).toEqual([
      expect.stringContaining('column "alive"'),
    ]);
  });
});
