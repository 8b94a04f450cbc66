import { execFileSync } from 'node:child_process';
import { appendFile, chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataSchema, loadDataset } from '../../src/data/index.js';
import { watchSource } from '../../src/data/readers/index.js';
import { MaasError } from '../../src/errors.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-data-'));
});
afterAll(() => rm(root, { recursive: true }));

/** What a person reads: code, message, place (without the folder), frame, hint. */
async function failure(config: Record<string, unknown>): Promise<string> {
  const data = dataSchema.parse({ source: 'data.csv', target: 'kind', ...config });
  const error: unknown = await loadDataset(data, { root, seed: 1, name: 'test' }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof MaasError)) throw new Error('expected a MaasError', { cause: error });
  const { file, line, column, frame } = error.place ?? { file: '' };
  const place = [relative(root, file), line, column].filter((part) => part !== undefined).join(':');
  return [`${error.code} ${error.message}`, place, ...(frame?.split('\n') ?? []), error.hint].join('\n');
}

const rows = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => `${line(index)}\n`).join('');

/** Thirty good rows of two classes, under the header x,y,kind, with `bad` as the fifth line of the file. */
const withLine = (bad: string): string => {
  const good = rows(30, (index) => `${index}.5,${index % 7},${index % 2 ? 'a' : 'b'}`).split('\n');
  return `x,y,kind\n${[...good.slice(0, 3), bad, ...good.slice(3)].join('\n')}`;
};

const cases: [
  name: string,
  content: string | Uint8Array,
  config: Record<string, unknown>,
  expected: string,
][] = [
  ['empty file', '', {}, 'MAAS_DATA_EMPTY the file is empty\ndata.csv'],
  ['blank lines only', '\n  \n\n', {}, 'MAAS_DATA_EMPTY the file has blank lines only\ndata.csv'],
  ['header only', 'x,kind\n', {}, 'MAAS_DATA_EMPTY the file has a header line and no rows\ndata.csv'],
  [
    'missing target column',
    'x,Kindd\n1,a\n',
    {},
    'MAAS_DATA_COLUMN there is no column "kind", which data.target names\ndata.csv:1:1\n  |\n1 | x,Kindd\n  | ^\nDid you mean "Kindd"?',
  ],
  [
    'missing feature column',
    'x,y,kind\n1,2,a\n',
    { features: ['x', 'weight'] },
    'MAAS_DATA_COLUMN there is no column "weight", which data.features names\ndata.csv:1:1\n  |\n1 | x,y,kind\n  | ^\nThe columns are: x, y, kind.',
  ],
  [
    'no header line',
    '5.1,3.5,0\n4.9,3.0,1\n',
    {},
    'MAAS_DATA_COLUMN there is no column "kind", which data.target names\ndata.csv:1:1\n  |\n1 | 5.1,3.5,0\n  | ^^^\nThe first line holds numbers: put a line with the column names before it.',
  ],
  [
    'duplicate header names',
    'x,y, x,kind\n1,2,3,a\n',
    {},
    'MAAS_DATA_COLUMN columns 1 and 3 are both named "x"\ndata.csv:1:6\n  |\n1 | x,y, x,kind\n  |      ^\nGive every column a name of its own.',
  ],
  [
    'column without a name',
    'x,,kind\n1,2,a\n',
    {},
    'MAAS_DATA_COLUMN column 2 of the header has no name\ndata.csv:1:3\n  |\n1 | x,,kind\n  |   ^\nName every column, and end the header line without a delimiter.',
  ],
  [
    'another delimiter',
    'x;y;kind\n1;2;a\n',
    {},
    'MAAS_DATA_SYNTAX the header has no "," in it\ndata.csv:1:1\n  |\n1 | x;y;kind\n  | ^^^^^^^^\nThe fields seem to be separated by ";": set data.delimiter.',
  ],
  [
    'row with too few fields',
    withLine('1,2'),
    {},
    'MAAS_DATA_SYNTAX the row has 2 fields, the header has 3\ndata.csv:5:3\n  |\n5 | 1,2\n  |   ^\nCheck quoting and delimiters at that line.',
  ],
  [
    'row with too many fields',
    withLine('1,2,a,9,9'),
    {},
    'MAAS_DATA_SYNTAX the row has 5 fields, the header has 3\ndata.csv:5:7\n  |\n5 | 1,2,a,9,9\n  |       ^\nCheck quoting and delimiters at that line.',
  ],
  [
    'text in a column of numbers',
    withLine('1, seven ,a'),
    {},
    'MAAS_DATA_VALUE column "y" is no number ("seven") in this row\ndata.csv:5:4\n  |\n5 | 1, seven ,a\n  |    ^^^^^\nCorrect the value or drop the row; if the column is not meant as numbers, set data.types: {y: category}.',
  ],
  [
    'NaN, after a field with line breaks',
    withLine('"1\r\n",NaN,a'),
    { missing: { numbers: 'error' } },
    'MAAS_DATA_VALUE column "y" has no value ("NaN") in this row\ndata.csv:6:3\n  |\n6 | ",NaN,a\n  |   ^^^\nFill in a value, drop the row, list "y" under data.exclude, or say in data.missing how to fill it.',
  ],
  [
    'empty cells, after blank lines',
    withLine('\n\n1,,a\n2,,b'),
    { missing: { numbers: 'error' } },
    'MAAS_DATA_VALUE column "y" is empty in this row, and 1 more row has such a cell\ndata.csv:7:3\n  |\n7 | 1,,a\n  |   ^\nFill in a value, drop the row, list "y" under data.exclude, or say in data.missing how to fill it.',
  ],
  [
    'infinite number',
    withLine('-inf,2,a'),
    {},
    'MAAS_DATA_VALUE column "x" is not finite ("-inf") in this row\ndata.csv:5:1\n  |\n5 | -inf,2,a\n  | ^^^^\nFill in a value, drop the row, list "x" under data.exclude, or say in data.missing how to fill it.',
  ],
  [
    'number beyond float32',
    withLine('1e39,2,a'),
    {},
    'MAAS_DATA_VALUE column "x" is too large for a float32 (1e39) in this row\ndata.csv:5:1\n  |\n5 | 1e39,2,a\n  | ^^^^\nFill in a value, drop the row, list "x" under data.exclude, or say in data.missing how to fill it.',
  ],
  [
    'empty target',
    withLine('1,2,'),
    {},
    'MAAS_DATA_VALUE column "kind" is empty in this row\ndata.csv:5:5\n  |\n5 | 1,2,\n  |     ^\nFill in a value, or set data.missing: {target: drop} to leave such rows out.',
  ],
  [
    'column without any value',
    'x,y,kind\n1,,a\n2,NA,b\n',
    {},
    'MAAS_DATA_VALUE column "y" has no value in any row\ndata.csv:2:3\n  |\n2 | 1,,a\n  |   ^\nList it under data.exclude.',
  ],
  [
    'a name for each row',
    `name,kind\n${rows(30, (index) => `person ${index},${index % 2 ? 'a' : 'b'}`)}`,
    {},
    'MAAS_DATA_COLUMN column "name" has 30 different texts in 30 rows, as names and identifiers do\ndata.csv:1:1\n  |\n1 | name,kind\n  | ^^^^\nList it under data.exclude, or set data.types: {name: category} to use it all the same, or {name: text} to use its words.',
  ],
  [
    'text column with a name of the graph',
    `label,kind\n${rows(30, (index) => `${index % 3 ? 'p' : 'q'},${index % 2 ? 'a' : 'b'}`)}`,
    {},
    'MAAS_DATA_COLUMN a text column cannot be named "label": the model uses that name\ndata.csv:1:1\n  |\n1 | label,kind\n  | ^^^^^\nRename the column, or list it under data.exclude.',
  ],
  [
    'class with too few rows',
    withLine('1,2,c\n1,2,c\n3,4,c'),
    {},
    'MAAS_DATA_SPLIT class "c" has 2 different rows (3 with copies): train, validation and test need one each\ndata.csv\nAdd rows of that class, or leave its rows out of the file.',
  ],
  [
    'one class only',
    `x,kind\n${rows(9, (index) => `${index},a`)}`,
    {},
    'MAAS_DATA_VALUE every row has kind = "a", there is nothing to tell apart\ndata.csv\nA classifier needs rows of at least two classes.',
  ],
  [
    'too few rows for a regression',
    'x,kind\n1,0.5\n2,0.25\n',
    {},
    'MAAS_DATA_SPLIT the file has 2 different rows: train, validation and test need one each\ndata.csv\nAdd rows.',
  ],
  [
    'regression on text',
    withLine('1,2,a'),
    { task: 'regression' },
    'MAAS_DATA_VALUE the target column "kind" holds text, and regression predicts numbers\ndata.csv\nWrite classification for it, or choose a target column of numbers.',
  ],
  [
    'every column excluded',
    withLine('1,2,a'),
    { exclude: ['x', 'y'] },
    'MAAS_DATA_COLUMN no column is left to predict "kind" from\ndata.csv\nCheck data.features and data.exclude.',
  ],
  [
    'quote never closed',
    withLine('1,"2,a'),
    {},
    'MAAS_DATA_SYNTAX a quote is opened in this row and never closed\ndata.csv:5\nCheck quoting and delimiters at that line.',
  ],
  [
    'quote inside a field',
    withLine('1,2"x",a'),
    {},
    'MAAS_DATA_SYNTAX a quote stands in the middle of a field\ndata.csv:5\nPut the whole field in quotes and write each quote inside it twice.',
  ],
  [
    'text after a closing quote',
    withLine('1,"2"x,a'),
    {},
    'MAAS_DATA_SYNTAX there is text between a closing quote and the next delimiter\ndata.csv:5\nWrite a quote inside a quoted field twice, and check data.delimiter.',
  ],
  [
    'Latin-1',
    Buffer.from(withLine('1,2,é'), 'latin1'),
    {},
    'MAAS_DATA_SYNTAX the file is not UTF-8 text but some other encoding\ndata.csv:5\nSave the file as UTF-8, for instance with `iconv -t UTF-8`.',
  ],
  [
    'UTF-16',
    Buffer.from('\uFEFFx,kind\n1,a\n', 'utf16le'),
    {},
    'MAAS_DATA_SYNTAX the file is not UTF-8 text but UTF-16\ndata.csv\nSave the file as UTF-8, for instance with `iconv -t UTF-8`.',
  ],
];

describe('loadDataset refuses', () => {
  it.each(cases)('%s', async (_, content, config, expected) => {
    await writeFile(join(root, 'data.csv'), content);
    expect(await failure(config)).toContain(expected);
  });

  it('a file that is not there, naming one that is', async () => {
    await writeFile(join(root, 'flowers.csv'), 'x');
    expect(await failure({ source: 'flower.csv' })).toBe(
      'MAAS_DATA_MISSING there is no such file\nflower.csv\nDid you mean "flowers.csv"?',
    );
    expect(await failure({ source: 'nowhere/at/all.csv' })).toContain(
      'paths are relative to the config file',
    );
  });

  it('a folder', async () => {
    await mkdir(join(root, 'folder.csv'));
    expect(await failure({ source: 'folder.csv' })).toContain('MAAS_DATA_MISSING data.source is a folder');
  });

  it('a pipe, without waiting for it, and a device', async () => {
    execFileSync('mkfifo', [join(root, 'pipe.csv')]);
    expect(await failure({ source: 'pipe.csv' })).toContain('data.source is a pipe, expected a file');
    await symlink('/dev/null', join(root, 'null.csv'));
    expect(await failure({ source: 'null.csv' })).toContain('data.source is a device, expected a file');
  });

  it('a file that is written to while it is read', async () => {
    const path = join(root, 'growing.csv');
    await writeFile(path, withLine('1,2,a'));
    const growing = watchSource(path, () => appendFile(path, '1,2,b\n'));
    await expect(growing).rejects.toMatchObject({ code: 'MAAS_DATA_CHANGED' });
    const gone = watchSource(path, () => rm(path));
    await expect(gone).rejects.toMatchObject({ code: 'MAAS_DATA_CHANGED' });
  });

  const mayReadAll = process.getuid?.() === 0;
  const reason = mayReadAll ? ' (skipped: root may read every file)' : '';
  it.skipIf(mayReadAll)(`a file without read permission${reason}`, async () => {
    await writeFile(join(root, 'secret.csv'), 'x,kind\n');
    await chmod(join(root, 'secret.csv'), 0);
    expect(await failure({ source: 'secret.csv' })).toContain('permission denied');
  });
});
