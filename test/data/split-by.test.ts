import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataSchema, loadDataset, type Dataset, type SplitName } from '../../src/data/index.js';
import { numbersOf } from '../../src/data/rows.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-split-'));
});
afterAll(() => rm(root, { recursive: true }));

type Row = readonly [id: number, group: string, day: string, kind: string];

/** Rows in an order that no column tells. */
const rows = (count: number): Row[] =>
  Array.from({ length: count }, (_, index): Row => {
    const id = (index * 37) % count;
    const day = new Date(Date.UTC(2026, 0, 1 + Math.floor(id / 3))).toISOString().slice(0, 10);
    return [id, `patient ${(id * 7) % 23}`, day, id % 2 ? 'a' : 'b'];
  });

async function load(table: readonly Row[], split: Record<string, unknown>): Promise<Dataset> {
  const lines = table.map(([id, ...rest]) => [id, id * 2, ...rest].join(','));
  await writeFile(join(root, 'data.csv'), ['id,twice,who,day,kind', ...lines, ''].join('\n'));
  const shares = { train: 0.6, validation: 0.2, test: 0.2 };
  const data = dataSchema.parse({ source: 'data.csv', target: 'kind', split: { ...shares, ...split } });
  return loadDataset({ ...data, exclude: ['who', 'day'] }, { root, seed: 1, name: 'test' });
}

/** The split that each row is in, by its id. */
function places({ splits }: Dataset): Map<number, SplitName> {
  const found = new Map<number, SplitName>();
  for (const name of ['train', 'validation', 'test'] as const) {
    const features = splits[name].inputs['features']!;
    const width = features.dims[1]!;
    numbersOf(features).forEach((value, at) => {
      if (at % width === 0) found.set(value, name);
    });
  }
  return found;
}

describe('data.split', () => {
  it('by hash moves no row when rows are added, and meets the shares on average', async () => {
    const more = rows(900);
    const [before, after] = [
      await load(more.slice(0, 600), { by: 'hash' }),
      await load(more, { by: 'hash' }),
    ];
    const later = places(after);
    expect(places(before).size).toBe(600);
    for (const [id, place] of places(before)) expect(later.get(id)).toBe(place);
    expect(after.splits.train.rows / 900).toBeCloseTo(0.6, 1);
    expect(after.splits.test.rows / 900).toBeCloseTo(0.2, 1);
  });

  it.each([{}, { by: 'hash' }])('by group keeps rows of one group together (%j)', async (by) => {
    const table = rows(300);
    const found = places(await load(table, { group: 'who', ...by }));
    const ways = new Map<string, Set<SplitName>>();
    for (const [id, who] of table) ways.set(who, (ways.get(who) ?? new Set()).add(found.get(id)!));
    expect(found.size).toBe(300);
    expect(new Set([...ways.values()].map((way) => way.size))).toEqual(new Set([1]));
    expect(new Set(found.values()).size).toBe(3);
  });

  it('by time holds out the latest rows, and tears no moment apart', async () => {
    const table = rows(300);
    const dataset = await load(table, { time: 'day' });
    const found = places(dataset);
    const days = (name: SplitName): string[] =>
      table.flatMap(([id, , day]) => (found.get(id) === name ? [day] : [])).sort();
    expect(days('train').at(-1)! < days('validation')[0]!).toBe(true);
    expect(days('validation').at(-1)! < days('test')[0]!).toBe(true);
    expect(dataset.splits.test.rows).toBe(60);
    // Numbers are ordered by value, not as text. What is left as the first feature is twice the id.
    const byId = places(await load(table, { time: 'id' }));
    expect([...byId].every(([twice, name]) => (name === 'test') === twice >= 480)).toBe(true);
  });

  it('takes the column that divides for no feature', async () => {
    await writeFile(
      join(root, 'plain.csv'),
      `a,who,kind\n${rows(60)
        .map(([id, who, , kind]) => `${id},${who},${kind}\n`)
        .join('')}`,
    );
    const config = {
      source: 'plain.csv',
      target: 'kind',
      split: { train: 0.6, validation: 0.2, test: 0.2, group: 'who' },
    };
    const { signature } = await loadDataset(dataSchema.parse(config), { root, seed: 1, name: 'test' });
    expect(signature.features.map(({ name }) => name)).toEqual(['a']);
  });

  it('says which row has no date, and which column is not there', async () => {
    const table = rows(30);
    await expect(load([...table, [99, 'x', 'soon', 'a']], { time: 'day' })).rejects.toMatchObject({
      code: 'MAAS_DATA_VALUE',
      message: 'column "day" has no date in this row ("soon")',
      place: { line: 32 },
    });
    await expect(load([...table, [99, '', '2026-01-01', 'a']], { group: 'who' })).rejects.toMatchObject({
      message: 'column "who", by which data.split.group divides, has no value in this row',
      place: { line: 32 },
    });
    await expect(load(table, { group: 'whom' })).rejects.toMatchObject({
      code: 'MAAS_DATA_COLUMN',
      hint: 'Did you mean "who"?',
    });
    await expect(
      load(
        table.map(([id, , day, kind]) => [id, 'same', day, kind]),
        { group: 'who' },
      ),
    ).rejects.toMatchObject({
      code: 'MAAS_DATA_SPLIT',
      message: 'column "who" has 1 different value: train, validation and test need one each',
    });
    await expect(load(table, { time: 'day', group: 'who' })).rejects.toThrow(
      'a split by time takes no group',
    );
  });
});
