import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  dataSchema,
  encodeRows,
  loadDataset,
  readUnlabelled,
  type Dataset,
  type Feature,
} from '../../src/data/index.js';
import { GraphBuilder } from '../../src/ir/builder.js';
import { saveModel } from '../../src/ir/onnx/save.js';
import { openSession } from '../../src/runtime/session.js';
import { emitFeatures } from '../../src/stages/train/emit-features.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-missing-'));
});
afterAll(() => rm(root, { recursive: true }));

async function load(content: string, config: Record<string, unknown> = {}): Promise<Dataset> {
  await writeFile(join(root, 'data.csv'), content);
  const data = dataSchema.parse({ source: 'data.csv', target: 'kind', ...config });
  return loadDataset(data, { root, seed: 1, name: 'test' });
}

/** What the layers behind the features see of some rows. */
async function encode(dataset: Dataset, rows: readonly unknown[]): Promise<number[][]> {
  const g = new GraphBuilder();
  const { signature } = dataset;
  for (const { name, dtype, shape } of signature.inputs) g.input(name, dtype, shape);
  g.output(emitFeatures(g, dataset), 'matrix');
  const path = join(root, 'features.onnx');
  const opsets = { '': 21, 'ai.onnx.ml': 4 };
  await saveModel({ irVersion: 10, opsets, producer: 'maas', graph: g.build(), metadata: {} }, path);
  const encoded = encodeRows(signature, rows);
  if (!encoded.ok) throw new Error(encoded.errors[0]!.message);
  const session = await openSession(path);
  try {
    const { data, dims } = (await session.run(encoded.inputs, ['matrix']))['matrix']!;
    const width = dims[1]!;
    return rows.map((_, row) => [...(data as Float32Array).slice(row * width, (row + 1) * width)]);
  } finally {
    await session.close();
  }
}

/** Sixty rows; every sixth lacks its number, every tenth its colour. */
const gaps = `size,colour,kind\n${Array.from({ length: 60 }, (_, row) => {
  const size = row % 6 === 0 ? 'NA' : String(row % 10);
  const colour = row % 10 === 0 ? '' : row % 3 === 0 ? 'red' : 'blue';
  return `${size},${colour},${row % 2 ? 'a' : 'b'}\n`;
}).join('')}`;
const featureOf = ({ signature }: Dataset, name: string): Feature =>
  signature.features.find((feature) => feature.name === name)!;

describe('missing values', () => {
  it('are filled with the median and a category of their own, figures of the train split, and noted', async () => {
    const dataset = await load(gaps);
    const { inputs } = dataset.splits.train;
    const present = [...(inputs['features']!.data as Float32Array)]
      .filter((value) => !Number.isNaN(value))
      .sort();
    const half = present.length / 2;
    const median = (present[Math.ceil(half) - 1]! + present[Math.floor(half)]!) / 2;
    expect(featureOf(dataset, 'size').missing).toEqual({ fill: median, written: ['NA'] });
    expect(featureOf(dataset, 'colour')).toMatchObject({
      categories: ['', 'blue', 'red'],
      missing: { fill: '', written: [''] },
    });
    expect(dataset.notes).toEqual([
      `filled missing values: size 10 (median ${median}), colour 6 (a category of its own); data.missing says how`,
    ]);
  });

  it('mean the same to the model however they are said: null, left out, as the data writes them', async () => {
    const dataset = await load(gaps, { missing: { numbers: 'mean', categories: 'mostFrequent' } });
    const { mean, deviation } = dataset.statistics['features']!;
    expect(featureOf(dataset, 'size').missing!.fill).toBeCloseTo(mean[0]!, 5);
    const rows = [
      { size: null, colour: null },
      {},
      { size: 'NA', colour: '' },
      { size: mean[0]!, colour: 'blue' },
      { size: mean[0]! + deviation[0]!, colour: 'red' },
    ];
    const [first, ...others] = await encode(dataset, rows);
    expect(first![0]).toBeCloseTo(0, 5);
    expect(first!.slice(1)).toEqual([1, 0]);
    for (const other of others.slice(0, 3))
      other.forEach((value, at) => {
        expect(value).toBeCloseTo(first![at]!, 5);
      });
    expect(others[3]![0]).toBeCloseTo(1, 5);
    expect(others[3]!.slice(1)).toEqual([0, 1]);
  });

  it('take rules by column, numbers that stand for them, and marks of the source', async () => {
    const missing = { markers: [-9], columns: { size: 5, weight: 'mean' } };
    const weights = gaps
      .split('\n')
      .map((line, row) =>
        line === '' ? '' : row === 0 ? `weight,${line}` : `${row % 7 === 0 ? -9 : row},${line}`,
      )
      .join('\n');
    const dataset = await load(weights, { missing });
    expect(featureOf(dataset, 'size').missing!.fill).toBe(5);
    expect(featureOf(dataset, 'weight')).toMatchObject({ missing: { written: ['-9'] } });
    expect(featureOf(dataset, 'weight').min).toBeGreaterThan(0);
    const [marked, absent] = await encode(dataset, [
      { weight: -9, size: 1, colour: 'red' },
      { size: 1, colour: 'red' },
    ]);
    expect(marked).toEqual(absent);
  });

  it('may be left out of requests only where the data lacks them or the config says so', async () => {
    const whole = gaps.replaceAll('NA', '3');
    expect(encodeRows((await load(whole)).signature, [{ colour: 'red' }])).toMatchObject({
      ok: false,
      errors: [{ message: 'row 0: field "size" is missing' }],
    });
    const named = await load(whole, { missing: { columns: { size: 'median' } } });
    expect(encodeRows(named.signature, [{ colour: 'red' }]).ok).toBe(true);
  });

  it('of the target leave the row out where the config says so', async () => {
    const content = `${gaps}1,red,\n2,red,NA\n`;
    await expect(load(content)).rejects.toMatchObject({ code: 'MAAS_DATA_VALUE', place: { line: 62 } });
    const { splits, notes } = await load(content, { missing: { target: 'drop' } });
    expect(splits.train.rows + splits.validation.rows + splits.test.rows).toBe(60);
    expect(notes![0]).toBe('left out 2 rows without a value for kind');
  });

  it('of the target leave rows that can be read by themselves, as those of the splits are', async () => {
    const content = `${gaps}1,red,\n,red,NA\n`;
    const config = { missing: { target: 'drop' } };
    const dataset = await load(content, config);
    const data = dataSchema.parse({ source: 'data.csv', target: 'kind', ...config });
    const { rows, lines, inputs } = await readUnlabelled(data, dataset, { root });
    expect(rows).toBe(2);
    expect([...(lines as Uint32Array)]).toEqual([62, 63]);
    expect(inputs['features']).toEqual({ dtype: 'float32', dims: [2, 1], data: Float32Array.of(1, NaN) });
    expect(inputs['colour']).toEqual({ dtype: 'string', dims: [2, 1], data: ['red', 'red'] });
    await writeFile(join(root, 'data.csv'), `${gaps}1,red,\nmany,red,\n`);
    await expect(readUnlabelled(data, dataset, { root })).rejects.toMatchObject({
      code: 'MAAS_DATA_VALUE',
      place: { line: 63 },
    });
  });

  it('refuse a rule of the other type', async () => {
    await expect(load(gaps, { missing: { columns: { colour: 'mean' } } })).rejects.toMatchObject({
      code: 'MAAS_DATA_COLUMN',
      message: 'data.missing.columns says mean for "colour", which is a column of text',
    });
  });

  it('refuse to fill in a target', async () => {
    await expect(load(gaps, { missing: { columns: { kind: 'mostFrequent' } } })).rejects.toMatchObject({
      code: 'MAAS_DATA_COLUMN',
      message: 'data.missing.columns names the target "kind", which is not filled in',
    });
  });
});

const real = resolve(import.meta.dirname, '../../../shared/data');
const absent = existsSync(join(real, 'titanic.csv'))
  ? ''
  : ' (skipped: no ../shared/data beside the repository)';
describe.skipIf(absent !== '')(`real tables${absent}`, () => {
  it('are read with their gaps', async () => {
    const read = (source: string, target: string): Promise<Dataset> =>
      loadDataset(dataSchema.parse({ source, target }), { root: real, seed: 1, name: 'real' });
    const penguins = await read('penguins.csv', 'species');
    expect(penguins.notes![0]).toMatch(/^filled missing values: bill_length_mm 2 \(median .*sex 11 /);
    const titanic = await read('titanic.csv', 'survived');
    expect(titanic.notes![0]).toMatch(/age 177 \(median 2\d.*deck 688 \(a category of its own\)/);
  });
});
