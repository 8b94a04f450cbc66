import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dataset } from '../../src/data/dataset.js';
import { dataSchema, digestDataset, loadDataset, type DataConfig } from '../../src/data/index.js';
import { lineOf, sliceColumn } from '../../src/data/rows.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-data-'));
});
afterAll(() => rm(root, { recursive: true }));

async function load(content: string, config: Record<string, unknown> = {}, seed = 1): Promise<Dataset> {
  const data = dataSchema.parse({ source: 'data.csv', target: 'kind', ...config });
  await writeFile(join(root, data.source), content);
  return loadDataset(data, { root, seed, name: 'test' });
}

/** Rows of all splits, by line of the source. */
function byLine({ splits }: Dataset, input: string): Record<number, unknown[]> {
  const rows: Record<number, unknown[]> = {};
  for (const table of Object.values(splits)) {
    for (let row = 0; row < table.rows; row++) {
      rows[lineOf(table, row)] = [...sliceColumn(table.inputs[input]!, row, row + 1).data];
    }
  }
  return rows;
}

const mixed =
  '\uFEFFsize, colour ,weight,note,kind\r\n' +
  '1,red,10,"a, ""b""",x\r\n\r\n2,"dark\r\nred",20,c,y\r\n  3 ,blue,30,c,x\r\n4,blue,40,c,y\n5,red,5e1,c,x\r\n6,red,.6e2,c,y';

describe('loadDataset', () => {
  it('reads what people write: BOM, CR LF, blank lines, quotes, blanks around fields', async () => {
    const dataset = await load(mixed, { exclude: ['note'] });
    expect(byLine(dataset, 'features')).toEqual({
      2: [1, 10],
      4: [2, 20],
      6: [3, 30],
      7: [4, 40],
      8: [5, 50],
      9: [6, 60],
    });
    expect(byLine(dataset, 'colour')[4]).toEqual(['dark\r\nred']);
    expect(Object.keys(dataset.splits.train.inputs)).toEqual(['features', 'colour']);
    expect(dataset.signature).toMatchObject({
      name: 'test',
      task: 'classification',
      inputs: [
        { name: 'features', dtype: 'float32', shape: ['N', 2] },
        { name: 'colour', dtype: 'string', shape: ['N', 1] },
      ],
      outputs: [
        { name: 'label', dtype: 'string', shape: ['N'] },
        { name: 'probabilities', dtype: 'float32', shape: ['N', 2] },
      ],
      target: { name: 'kind', labels: ['x', 'y'] },
      data: { digest: dataset.digest },
    });
    expect(
      dataset.signature.features.map(({ name, type, input, column }) => [name, type, input, column]),
    ).toEqual([
      ['size', 'number', 'features', 0],
      ['colour', 'category', 'colour', 0],
      ['weight', 'number', 'features', 1],
    ]);
  });

  it('encodes the target: class indices, or amounts', async () => {
    const { splits } = await load(mixed, { exclude: ['note'] });
    expect(splits.train.target).toMatchObject({ dtype: 'int64', dims: [splits.train.rows] });
    const amounts = await load(mixed, { target: 'weight', task: 'regression', exclude: ['note', 'colour'] });
    expect(amounts.signature).toMatchObject({
      task: 'regression',
      outputs: [{ name: 'prediction', dtype: 'float32', shape: ['N'] }],
      target: { name: 'weight' },
    });
    expect(amounts.splits.test.target).toMatchObject({
      dtype: 'float32',
      dims: [amounts.splits.test.rows, 1],
    });
  });

  it('takes few whole numbers as classes, in the order of their values', async () => {
    const lines = Array.from({ length: 40 }, (_, index) => `${index}.5,${[10, 9, 1][index % 3]!}`);
    const { signature } = await load(`x,kind\n${lines.join('\n')}`);
    expect(signature.target.labels).toEqual(['1', '9', '10']);
    const fractions = await load(`x,kind\n${lines.map((line) => `${line}.25`).join('\n')}`);
    expect(fractions.signature.task).toBe('regression');
  });

  it('obeys features, types and delimiter', async () => {
    const lines = Array.from({ length: 20 }, (_, index) => `${index},${index % 3},${index % 2 ? 'a' : 'b'}`);
    const content = `x,class,kind\n${lines.join('\n')}`.replaceAll(',', '\t');
    const dataset = await load(content, {
      source: 'data.tsv',
      features: ['class'],
      types: { class: 'category' },
    });
    expect(dataset.signature.features).toEqual([
      { name: 'class', type: 'category', input: 'class', column: 0, categories: ['0', '1', '2'] },
    ]);
    const other = await load(content.replaceAll('\t', '|'), { delimiter: '|' });
    expect(other.signature.features.map((feature) => feature.name)).toEqual(['x', 'class']);
  });

  it('measures mean, deviation and range on the rows of the train split', async () => {
    const lines = Array.from({ length: 50 }, (_, index) => `${index ** 2},7,${index % 2 ? 'a' : 'b'}`);
    const dataset = await load(`x,constant,kind\n${lines.join('\n')}`);
    const { data } = dataset.splits.train.inputs['features']!;
    const values = Array.from(data as Float32Array).filter((_, index) => index % 2 === 0);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    const statistics = dataset.statistics['features']!;
    expect(statistics.mean[0]).toBeCloseTo(mean, 3);
    expect(statistics.deviation[0]).toBeCloseTo(Math.sqrt(variance), 3);
    expect([statistics.mean[1], statistics.deviation[1]]).toEqual([7, 0]);
    expect(dataset.signature.features[0]).toMatchObject({
      min: Math.min(...values),
      max: Math.max(...values),
    });
  });

  it('reads large files chunk by chunk, with characters across chunks', async () => {
    const lines = Array.from(
      { length: 40_000 },
      (_, index) => `${index},grün-${index % 5},${index % 2 ? 'ä' : 'ö'}`,
    );
    const content = `x,name,kind\n${lines.join('\n')}\n`;
    const dataset = await load(content);
    expect(dataset.splits.train.rows + dataset.splits.validation.rows + dataset.splits.test.rows).toBe(
      40_000,
    );
    expect(dataset.signature.target.labels).toEqual(['ä', 'ö']);
    expect(byLine(dataset, 'features')[39_001]).toEqual([38_999]);
  });

  it('stops when it is told to', async () => {
    await load(mixed, { exclude: ['note'] });
    const data = dataSchema.parse({ source: 'data.csv', target: 'kind' });
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(loadDataset(data, { root, seed: 1, name: 'test', signal })).rejects.toThrow('stopped');
  });
});

describe('dataset.digest', () => {
  const config: DataConfig = dataSchema.parse({ source: 'data.csv', target: 'kind', exclude: ['note'] });

  it('is the same from the file alone, and does not depend on where the file lies', async () => {
    const { digest } = await load(mixed, { exclude: ['note'] });
    await writeFile(join(root, 'moved.csv'), mixed);
    expect(await digestDataset({ ...config, source: 'moved.csv' }, { root, seed: 1 })).toBe(digest);
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    expect(digest).not.toBe(createHash('sha256').update(mixed).digest('hex'));
  });

  it('changes with the bytes, the seed, and each setting that changes rows or split', async () => {
    await writeFile(join(root, 'data.csv'), mixed);
    await writeFile(join(root, 'other.csv'), `${mixed}\n`);
    const variants: [Partial<DataConfig>, number][] = [
      [{}, 1],
      [{}, 2],
      [{ source: 'other.csv' }, 1],
      [{ target: 'colour' }, 1],
      [{ exclude: ['size'] }, 1],
      [{ features: ['size'] }, 1],
      [{ types: { size: 'category' } }, 1],
      [{ task: 'classification' }, 1],
      [{ delimiter: ';' }, 1],
      [{ split: { train: 0.6, validation: 0.2, test: 0.2 } }, 1],
    ];
    const digests = await Promise.all(
      variants.map(([change, seed]) => digestDataset({ ...config, ...change }, { root, seed })),
    );
    expect(new Set(digests).size).toBe(variants.length);
  });
});
