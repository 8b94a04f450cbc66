import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
