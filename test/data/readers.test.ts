import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { dataSchema, digestDataset, loadDataset, type Dataset } from '../../src/data/index.js';
import { lineOf, sliceColumn } from '../../src/data/rows.js';
import { MaasError } from '../../src/errors.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-readers-'));
});
afterAll(() => rm(root, { recursive: true }));

async function load(source: string, content: string | Buffer, config: object = {}): Promise<Dataset> {
  await writeFile(join(root, source), content);
  return loadDataset(dataSchema.parse({ source, target: 'kind', ...config }), {
    root,
    seed: 1,
    name: 'test',
  });
}

/** From a file that another program has written. */
async function loadFixture(source: string, config: object = {}): Promise<Dataset> {
  await copyFile(fileURLToPath(new URL(`../fixtures/data/${source}`, import.meta.url)), join(root, source));
  return loadDataset(dataSchema.parse({ source, target: 'kind', ...config }), {
    root,
    seed: 1,
    name: 'test',
  });
}

async function failure(source: string, content: string | Buffer): Promise<string> {
  const error: unknown = await load(source, content).catch((reason: unknown) => reason);
  if (!(error instanceof MaasError)) throw new Error('expected a MaasError', { cause: error });
  const { line, column } = error.place ?? {};
  return `${error.code} ${error.message} at ${line}:${column}`;
}

/** All rows by their content: where they stand and how they are written makes no difference. */
function contentOf({ splits, signature, statistics, notes }: Dataset): unknown {
  const tables = Object.values(splits).map(({ rows, inputs, target }) => [
    Object.entries(inputs).map(([name, column]) => [name, sliceColumn(column, 0, rows)]),
    sliceColumn(target, 0, rows),
  ]);
  return { tables, signature: { ...signature, data: undefined }, statistics, notes };
}

/** All rows in the order of the source, whichever split they are in: 1.0 is not 1 where rows are divided by their text. */
function rowsOf({ splits, signature }: Dataset): unknown[] {
  const found = Object.values(splits).flatMap((table) =>
    Array.from({ length: table.rows }, (_, row) => ({
      line: lineOf(table, row),
      label: signature.target.labels![Number(sliceColumn(table.target, row, row + 1).data[0])],
      cells: Object.values(table.inputs).flatMap((column) => [...sliceColumn(column, row, row + 1).data]),
    })),
  );
  return found.sort((a, b) => a.line - b.line).map(({ label, cells }) => [label, ...cells]);
}

const rows = Array.from({ length: 60 }, (_, row) => ({
  size: row % 11 === 0 ? null : row / 4,
  colour: ['rot', 'grün', 'a "b", c'][row % 3]!,
  big: row % 2 === 0,
  kind: row % 2 ? 'x' : 'y',
}));
const names = ['size', 'colour', 'big', 'kind'] as const;
const csv = [
  names.join(),
  ...rows.map((row) => names.map((name) => `"${String(row[name] ?? '').replaceAll('"', '""')}"`).join()),
].join('\n');
const jsonl = rows.map((row) => JSON.stringify(row)).join('\n');

describe('a source', () => {
  it.each([
    ['data.jsonl', jsonl],
    ['data.ndjson', `\uFEFF${jsonl.replaceAll('\n', '\r\n\r\n')}\r\n`],
    ['data.csv.gz', gzipSync(csv)],
    ['data.tsv.gz', gzipSync(csv.replaceAll('","', '"\t"').replaceAll(/^size.*$/gm, names.join('\t')))],
    ['data.jsonl.gz', Buffer.concat([gzipSync(jsonl.slice(0, 500)), gzipSync(jsonl.slice(500))])],
  ])('is read the same as %s', async (source, content) => {
    const expected = contentOf(await load('data.csv', csv));
    const dataset = await load(source, content);
    expect(contentOf(dataset)).toEqual(expected);
    expect(contentOf(await load(source, content, { memory: 0 }))).toEqual(expected);
    expect(await digestDataset(dataSchema.parse({ source, target: 'kind' }), { root, seed: 1 })).toBe(
      dataset.digest,
    );
  });

  it.each(['rows.jsonl', 'rows.csv.gz', 'rows.parquet', 'rows-zstd.parquet'])(
    'that pandas wrote is read the same: %s',
    async (source) => {
      // Its CSV writes False, not false.
      const isCsv = source.includes('csv');
      const text = isCsv ? csv.replaceAll('"true"', '"True"').replaceAll('"false"', '"False"') : csv;
      const expected = rowsOf(await load('data.csv', text));
      expect(rowsOf(await loadFixture(source))).toEqual(expected);
      expect(rowsOf(await loadFixture(source, { memory: 0 }))).toEqual(expected);
    },
  );

  it('of JSON lines has the lines of the file, and keys in any order or left out', async () => {
    const lines = rows.map(({ size, colour, kind }, row) =>
      JSON.stringify(row % 5 === 0 ? { kind, colour } : { colour, kind, size }),
    );
    const { splits, schema } = await load('data.jsonl', `\n${lines.join('\n\n')}`);
    const found = Object.values(splits).flatMap((table) =>
      Array.from({ length: table.rows }, (_, row) => lineOf(table, row)),
    );
    expect(found.sort((a, b) => a - b)).toEqual(rows.map((_, row) => 2 * row + 2));
    expect(schema!.columns.map(({ name }) => name)).toEqual(['kind', 'colour', 'size']);
    expect(schema!.columns[2]).toMatchObject({
      missing: rows.filter(({ size }, row) => row % 5 === 0 || size === null).length,
    });
  });
});

describe('a broken source is told by its line', () => {
  const good = jsonl.split('\n').slice(0, 20).join('\n');
  it.each<[string, string, string | Buffer, string]>([
    ['no JSON', 'a.jsonl', `${good}\n{"size": 1,}`, 'MAAS_DATA_SYNTAX the line is not JSON'],
    ['a list', 'a.jsonl', `${good}\n[1, 2]`, 'MAAS_DATA_SYNTAX the line is not an object at 21:1'],
    ['one long list', 'a.jsonl', `[\n${good}`, 'MAAS_DATA_SYNTAX the line is not JSON'],
    [
      'NaN, as Python writes it',
      'a.jsonl',
      `${good}\n{"size": NaN}`,
      'MAAS_DATA_SYNTAX the line is not JSON',
    ],
    ['no keys', 'a.jsonl', '{}\n{}', 'MAAS_DATA_COLUMN the objects have no keys'],
    ['an empty key', 'a.jsonl', '{"": 1}', 'MAAS_DATA_COLUMN a key is empty'],
    ['blank lines', 'a.jsonl', '\n \n', 'MAAS_DATA_EMPTY the file has blank lines only'],
    [
      'Latin-1',
      'a.jsonl',
      Buffer.concat([Buffer.from(`${good}\n`), Buffer.from('{"size": "ü"}', 'latin1')]),
      'MAAS_DATA_SYNTAX the file is not UTF-8 text but some other encoding at 21:',
    ],
    [
      'a wrong value',
      'a.jsonl',
      `${good}\n{"colour": "rot", "size": "x", "kind": "y"}`,
      'MAAS_DATA_VALUE column "size" is no number ("x") in this row at 21:19',
    ],
    ['no target', 'a.jsonl', good.replaceAll('kind', 'sort'), 'MAAS_DATA_COLUMN there is no column "kind"'],
    [
      'a late key',
      'a.jsonl',
      `${Array.from({ length: 1000 }, () => good.split('\n')[0]!).join('\n')}\n{"size": 1, "late": 2}`,
      'MAAS_DATA_COLUMN the key "late" is in none of the first 1000 lines, whose keys are the columns at 1001:13',
    ],
    ['text named .gz', 'a.csv.gz', csv, 'MAAS_DATA_SYNTAX the file is no gzip file, or is damaged'],
    ['half a .gz', 'a.csv.gz', gzipSync(csv).subarray(0, 200), 'MAAS_DATA_SYNTAX the gzip file ends early'],
    [
      'a packed file with a bad row',
      'a.csv.gz',
      gzipSync(`${csv}\n1,2`),
      'MAAS_DATA_SYNTAX the row has 2 fields, the header has 4 at 62:3',
    ],
    ['nothing, packed', 'a.csv.gz', gzipSync(''), 'MAAS_DATA_EMPTY the file has blank lines only'],
  ])('%s', async (_, source, content, expected) => {
    expect(await failure(source, content)).toContain(expected);
  });
});

describe('data.sql', () => {
  const sql = "SELECT size * 4 AS four, colour, kind FROM source WHERE colour <> 'rot' -- all but red;";

  it('asks Parquet, delimited text and JSON Lines the same', async () => {
    const expected = rowsOf(await loadFixture('rows.parquet', { sql }));
    expect(expected).toHaveLength(40);
    expect(rowsOf(await loadFixture('rows.csv.gz', { sql }))).toEqual(expected);
    expect(rowsOf(await loadFixture('rows.jsonl', { sql: `${sql}\n;` }))).toEqual(expected);
    expect(
      rowsOf(
        await load('data.csv', csv.replaceAll('","', '";"').replace(names.join(), names.join(';')), {
          sql,
          delimiter: ';',
        }),
      ),
    ).toEqual(expected);
  });

  it('is part of the digest', async () => {
    const digests = new Set<string>();
    for (const config of [{}, { sql }, { sql: 'FROM source' }]) {
      digests.add((await loadFixture('rows.parquet', config)).digest);
    }
    expect(digests.size).toBe(3);
  });

  it('turns points in time, large integers and lists into what delimited text would hold', async () => {
    const config = {
      target: 'y',
      features: ['size'],
      split: { train: 0.6, validation: 0.2, test: 0.2, time: 'day' },
    };
    const { splits } = await loadFixture('types.parquet', config);
    expect(lineOf(splits.test, 0)).toBeGreaterThan(47);
    const lists = loadFixture('types.parquet', { target: 'y', features: ['pair'] });
    await expect(lists).rejects.toThrow('column "pair" has 60 different texts in 60 rows');
    const moments = { ...config, split: { ...config.split, time: 'moment' } };
    expect(lineOf((await loadFixture('types.parquet', moments)).splits.test, 0)).toBeGreaterThan(47);
  });

  it.each([
    ['SELECT nope FROM source', 'data.sql cannot be run: Referenced column "nope" not found'],
    ['SELECT 1; DROP VIEW source', 'data.sql cannot be run: syntax error'],
    ["FROM '/etc/passwd'", 'data.sql cannot be run: Table with name /etc/passwd does not exist'],
    ["FROM read_text('/etc/passwd')", 'DuckDB cannot read the data: Cannot access file "/etc/passwd"'],
    ['SELECT size, kind AS size FROM source', 'two columns are named "size"'],
    [
      'SELECT CAST(colour AS INTEGER) AS n, kind FROM source',
      'DuckDB cannot read the data: Could not convert string',
    ],
    ['SELECT size FROM source', 'there is no column "kind"'],
    ['SELECT * FROM source WHERE size < 0', 'the file has a header line and no rows'],
  ])('refuses %s', async (query, message) => {
    await expect(loadFixture('rows.parquet', { sql: query })).rejects.toThrow(message);
  });

  it('says how to get DuckDB where it is not installed', async () => {
    vi.resetModules();
    vi.doMock('@duckdb/node-api', () => {
      throw new Error('Cannot find package');
    });
    const { loadDataset: loadAnew } = await import('../../src/data/index.js');
    const config = dataSchema.parse({ source: 'rows.csv', sql: 'FROM source', target: 'kind' });
    await writeFile(join(root, 'rows.csv'), csv);
    await expect(loadAnew(config, { root, seed: 1, name: 'test' })).rejects.toMatchObject({
      code: 'MAAS_ENGINE_MISSING',
      hint: 'Install it with `npm install @duckdb/node-api` (70 MB).',
    });
    vi.doUnmock('@duckdb/node-api');
  });

  it('tells of a file that is no Parquet', async () => {
    expect(await failure('a.parquet', csv)).toContain(
      'DuckDB cannot read the data: No magic bytes found at end of file',
    );
  });
});
