import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataSchema, encodeRows, idsOf, loadDataset, type Dataset } from '../../../src/data/index.js';
import type { ConfigPath } from '../../../src/config/index.js';
import { tokensOf } from '../../../src/data/transforms/tokens.js';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import { tensor } from '../../../src/ir/tensor.js';
import { openSession } from '../../../src/runtime/session.js';
import { emitFeatures, featureOpsets } from '../../../src/stages/train/emit-features.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-transforms-'));
});
afterAll(() => rm(root, { recursive: true }));

type Row = Record<string, number | string | null>;

const texts = ['The cat sat', 'the Dog sat, the dog ran', 'École fermée', 'ÉCOLE ouverte; cat!', ''];
const rowsOf = (count: number): Row[] =>
  Array.from({ length: count }, (_, row) => ({
    size: row % 7 === 0 ? null : (row * 37) % 101,
    same: 5,
    colour: row % 11 === 0 ? null : ['red', 'blue', 'green'][row % 3]!,
    note: texts[row % texts.length]!,
    kind: row % 2 === 0 ? 'a' : 'b',
  }));

const cell = (value: number | string | null): string => (value === null ? '' : JSON.stringify(value));

async function load(
  rows: readonly Row[],
  transforms: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Promise<Dataset> {
  const header = Object.keys(rows[0]!);
  const lines = [header, ...rows.map((row) => header.map((name) => cell(row[name]!)))];
  await writeFile(join(root, 'data.csv'), `${lines.map((line) => line.join(',')).join('\n')}\n`);
  const config = { source: 'data.csv', target: 'kind', transforms: { columns: transforms }, ...more };
  const placeOf = (path: ConfigPath) => ({ file: `config: ${path.join('.')}` });
  return loadDataset(dataSchema.parse(config), { root, seed: 1, name: 'test', placeOf });
}

/** What the layers behind the features see of rows. */
async function openEncoder(dataset: Dataset) {
  const { signature } = dataset;
  const g = new GraphBuilder();
  for (const { name, dtype, shape } of signature.inputs) g.input(name, dtype, shape);
  const matrix = emitFeatures(g, dataset, (name, dims) => {
    const values = Array.from({ length: dims[0]! * dims[1]! }, (_, at) => at + 1);
    return g.initializer(name, tensor('float32', dims, values));
  });
  g.output(matrix, 'matrix');
  expect(g.shapeOf(matrix)).toEqual(['N', expect.any(Number)]);
  const model = { irVersion: 10, opsets: featureOpsets, producer: 'maas', graph: g.build(), metadata: {} };
  const session = await openSession(encodeModel(model));
  return {
    close: () => session.close(),
    async encode(rows: readonly unknown[]): Promise<number[][]> {
      const encoded = encodeRows(signature, rows);
      if (!encoded.ok) throw new Error(encoded.errors[0]!.message);
      const { data, dims } = (await session.run(encoded.inputs, ['matrix']))['matrix']!;
      const width = dims[1]!;
      return rows.map((_, row) => Array.from(data.slice(row * width, (row + 1) * width), Number));
    },
  };
}

/** Raw values of the train split. */
function trained(dataset: Dataset, rows: readonly Row[], name: string): (number | string | null)[] {
  return Array.from(dataset.splits.train.lines as Uint32Array, (line) => rows[line - 2]![name]!);
}

const close = (got: readonly number[], wanted: readonly number[]): void => {
  expect(got.length).toBe(wanted.length);
  got.forEach((value, at) => {
    expect(Math.abs(value - wanted[at]!)).toBeLessThanOrEqual(1e-4 * (1 + Math.abs(wanted[at]!)));
  });
};

const only = (name: string) => ({ features: [name] });
const rows = rowsOf(120);
const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
const spreadOf = (values: readonly number[]): number => {
  const mean = meanOf(values);
  return Math.sqrt(meanOf(values.map((value) => (value - mean) ** 2))) || 1;
};

/** 32-bit MurmurHash3 of the text's bytes, after Austin Appleby's reference. */
function murmur(text: string): number {
  const bytes = Buffer.from(text);
  const mix = (k: number): number =>
    Math.imul((Math.imul(k, 0xcc9e2d51) << 15) | (Math.imul(k, 0xcc9e2d51) >>> 17), 0x1b873593);
  let hash = 0;
  const whole = bytes.length & ~3;
  for (let at = 0; at < whole; at += 4) {
    hash ^= mix(bytes.readInt32LE(at));
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let at = bytes.length - 1; at >= whole; at--) rest = (rest << 8) | bytes[at]!;
  if (bytes.length > whole) hash ^= mix(rest);
  hash ^= bytes.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

describe('transforms of numbers', () => {
  type Reference = (train: readonly number[]) => (value: number) => number[];
  const standard = (train: readonly number[]) => (value: number) => (value - meanOf(train)) / spreadOf(train);
  const cases: [string, unknown, Reference][] = [
    ['normalization', 'normalization', (train) => (value) => [standard(train)(value)]],
    [
      'minMax',
      'minMax',
      (train) => (value) => [(value - Math.min(...train)) / (Math.max(...train) - Math.min(...train))],
    ],
    ['rescaling', { rescaling: { scale: 0.5, offset: 3 } }, () => (value) => [value * 0.5 + 3]],
    [
      'log1p',
      'log1p',
      (train) => (value) => [
        standard(train.map(Math.log1p))(Math.log1p(Math.max(value, Math.min(...train)))),
      ],
    ],
    [
      'discretization',
      { discretization: { binBoundaries: [10, 50] } },
      () => (value) => [Number(value < 10), Number(value >= 10 && value < 50), Number(value >= 50)],
    ],
  ];
  it.each(cases)('%s is what its formula says, outside of the range too', async (_, choice, reference) => {
    const dataset = await load(rows, { size: choice }, only('size'));
    const fill = Number(dataset.signature.features[0]!.missing!.fill);
    const transform = reference(trained(dataset, rows, 'size').map((value) => Number(value ?? fill)));
    const encoder = await openEncoder(dataset);
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.option(fc.double({ min: -1e4, max: 1e4, noNaN: true })), {
            minLength: 1,
            maxLength: 20,
          }),
          async (sizes) => {
            const got = await encoder.encode(sizes.map((size) => ({ size })));
            got.forEach((row, index) => {
              close(row, transform(Math.fround(sizes[index] ?? fill)));
            });
          },
        ),
        { numRuns: 20 },
      );
    } finally {
      await encoder.close();
    }
  });

  it('keep columns apart that are transformed in different ways, and constants finite', async () => {
    const choices = { size: { discretization: { numBins: 4 } }, same: 'minMax' };
    const encoder = await openEncoder(await load(rows, choices, { features: ['size', 'same'] }));
    const [low, high] = await encoder.encode([
      { size: -1, same: 5 },
      { size: 1000, same: 6 },
    ]);
    expect(low).toEqual([1, 0, 0, 0, 0]);
    expect(high).toEqual([0, 0, 0, 1, 1]);
    await encoder.close();
  });

  it('share the rows of the train split out evenly among the bins', async () => {
    const dataset = await load(rows, { size: { discretization: { numBins: 4 } } }, only('size'));
    const encoder = await openEncoder(dataset);
    const found = await encoder.encode(trained(dataset, rows, 'size').map((size) => ({ size })));
    for (let bin = 0; bin < 4; bin++) {
      const share = meanOf(found.map((row) => row[bin]!));
      expect(share).toBeGreaterThan(0.1);
      expect(share).toBeLessThan(0.45);
    }
    await encoder.close();
  });

  it('name the line of a value that has no logarithm', async () => {
    const line = expect.any(Number) as number;
    const zeros = rows.map((row, index) => ({ ...row, size: index % 3 === 0 ? 0 : index }));
    await expect(load(zeros, { size: 'log' }, only('size'))).rejects.toMatchObject({
      code: 'MAAS_DATA_VALUE',
      message: 'column "size" is 0, and log takes numbers above 0 (log1p takes 0 too)',
      place: { file: join(root, 'data.csv'), line },
    });
  });
});

describe('transforms of categories', () => {
  it('hashing puts any text into the bin of its MurmurHash3', async () => {
    const dataset = await load(rows, { colour: { hashing: { numBins: 7 } } }, only('colour'));
    const encoder = await openEncoder(dataset);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 10 }),
        async (colours) => {
          const known = colours.filter((text) => !text.includes('\0'));
          if (known.length === 0) return;
          const got = await encoder.encode(known.map((colour) => ({ colour })));
          expect(got.map((row) => row.indexOf(1))).toEqual(known.map((text) => murmur(text) % 7));
        },
      ),
      { numRuns: 20 },
    );
    await encoder.close();
  });

  it('embedding gives each category its vector, the missing one too, and nothing to others', async () => {
    const dataset = await load(rows, { colour: { embedding: { outputDim: 2 } } }, only('colour'));
    expect(dataset.signature.features[0]!.categories).toEqual(['', 'blue', 'green', 'red']);
    const encoder = await openEncoder(dataset);
    const got = await encoder.encode([{ colour: 'green' }, { colour: null }, { colour: 'mauve' }, {}]);
    expect(got).toEqual([
      [5, 6],
      [1, 2],
      [0, 0],
      [1, 2],
    ]);
    await encoder.close();
  });
});

describe('transforms of text', () => {
  const words = fc.constantFrom(
    'the',
    'The',
    'DOG',
    'cat',
    'sat',
    'École',
    'ÉCOLE',
    'école',
    'unseen',
    '42',
    '!',
    ',',
  );
  const text = fc.array(words, { maxLength: 12 }).map((list) => list.join(' '));

  it.each(['count', 'multiHot', 'tfIdf'] as const)('%s is what a plain count says', async (outputMode) => {
    const choice = { textVectorization: { outputMode, ngrams: 2, maxTokens: 12 } };
    const dataset = await load(rows, { note: choice }, only('note'));
    expect(dataset.signature.features).toMatchObject([{ name: 'note', type: 'text' }]);
    const train = trained(dataset, rows, 'note').map((note) => gramsOf(String(note)));
    const totals = new Map<string, number>();
    for (const grams of train) for (const gram of grams) totals.set(gram, (totals.get(gram) ?? 0) + 1);
    const inOrder = (a: string, b: string): number => (a < b ? -1 : 1);
    const key = (gram: string): string => gram.replaceAll(' ', '\0');
    const kept = [...totals]
      .sort(([a, m], [b, n]) => n - m || inOrder(key(a), key(b)))
      .slice(0, 12)
      .map(([gram]) => gram)
      .sort((a, b) => a.split(' ').length - b.split(' ').length || inOrder(key(a), key(b)));
    const expected = (note: string): number[] => {
      const counts = kept.map((gram) => gramsOf(note).filter((other) => other === gram).length);
      if (outputMode === 'count') return counts;
      if (outputMode === 'multiHot') return counts.map((count) => Math.min(count, 1));
      const weighted = counts.map((count, at) => {
        const having = train.filter((grams) => grams.includes(kept[at]!)).length;
        return count * (Math.log((1 + train.length) / (1 + having)) + 1);
      });
      const length = Math.hypot(...weighted) || 1;
      return weighted.map((value) => value / length);
    };
    const encoder = await openEncoder(dataset);
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 6 }), async (notes) => {
        const got = await encoder.encode(notes.map((note) => ({ note })));
        got.forEach((row, index) => {
          close(row, expected(notes[index]!));
        });
      }),
      { numRuns: 30 },
    );
    await encoder.close();
  });

  it('split characters too', async () => {
    const choice = { textVectorization: { outputMode: 'count', split: 'character', maxTokens: 3 } };
    const encoder = await openEncoder(await load(rows, { note: choice }, only('note')));
    const [some, none] = await encoder.encode([{ note: 't é 日本\n' }, { note: '' }]);
    expect(some!.reduce((sum, count) => sum + count)).toBeGreaterThan(0);
    expect(none).toEqual([0, 0, 0]);
    await encoder.close();
  });

  it.each(['word', 'character'] as const)('give each %s as an id, in their order', async (split) => {
    const [most, length] = [6, 5];
    const options = { outputMode: 'int', split, maxTokens: most, outputSequenceLength: length };
    const dataset = await load(rows, { note: { textVectorization: options } }, only('note'));
    const counts = new Map<string, number>();
    for (const note of trained(dataset, rows, 'note'))
      for (const token of tokensOf(String(note), split)) counts.set(token, (counts.get(token) ?? 0) + 1);
    const known = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, most);
    const ids = new Map(known.map(([token], at) => [token, at + 2]));
    const expected = (note: string): number[] => {
      const row = tokensOf(note, split).map((token) => ids.get(token) ?? 1);
      return Array.from({ length }, (_, at) => row[at] ?? 0);
    };
    expect(idsOf(dataset.signature.features[0]!, dataset.transforms!['note'])).toBe(ids.size + 2);
    const encoder = await openEncoder(dataset);
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 4 }), async (notes) => {
        expect(await encoder.encode(notes.map((note) => ({ note })))).toEqual(notes.map(expected));
      }),
      { numRuns: 30, examples: [[['']], [['', 'the']]] },
    );
    await encoder.close();
  });

  it.each([
    [{ outputMode: 'int' }, 'int needs outputSequenceLength'],
    [{ outputMode: 'int', outputSequenceLength: 4, ngrams: 2 }, 'leave ngrams out'],
    [{ outputMode: 'count', outputSequenceLength: 4 }, 'count gives columns'],
  ])('refuse options that do not go together: %j', async (options, message) => {
    await expect(load(rows, { note: { textVectorization: options } }, only('note'))).rejects.toThrow(message);
  });

  it('refuse what is no text, and columns without words', async () => {
    const dataset = await load(rows, {}, { types: { note: 'text' }, features: ['note'] });
    expect(encodeRows(dataset.signature, [{ note: 5 }])).toMatchObject({
      errors: [{ message: 'row 0: field "note" must be text, found the number 5' }],
    });
    const mute = rows.map((row, index) => ({ ...row, note: '!'.repeat(1 + (index % 3)) }));
    await expect(load(mute, { note: 'textVectorization' }, only('note'))).rejects.toMatchObject({
      message: 'column "note" has no word in any row of the train split',
    });
  });
});

function gramsOf(text: string): string[] {
  const tokens = tokensOf(text, 'word');
  return [...tokens, ...tokens.slice(1).map((token, at) => `${tokens[at]!} ${token}`)];
}

describe('data.transforms', () => {
  it('tells which type a transform is for', async () => {
    await expect(load(rows, { colour: 'minMax' }, only('colour'))).rejects.toMatchObject({
      code: 'MAAS_DATA_VALUE',
      hint: 'data.transforms says minMax, which takes numbers: choose another transform.',
    });
    const parsed = dataSchema.safeParse({
      source: 'a.csv',
      target: 'kind',
      types: { size: 'number' },
      transforms: {
        columns: { size: 'oneHot', kind: 'oneHot', odd: { discretization: { binBoundaries: [2, 1] } } },
      },
    });
    expect(parsed.error!.issues.map(({ path }) => path.join('.'))).toEqual([
      'transforms.columns.odd.discretization.binBoundaries.1',
    ]);
    await expect(load(rows, { nosuch: 'minMax' })).rejects.toMatchObject({
      message: 'there is no column "nosuch", which data.transforms.columns names',
    });
  });

  it('fits to the same figures when the data is left on disk', async () => {
    const choices = {
      size: { discretization: { numBins: 3 } },
      note: 'textVectorization',
      colour: 'embedding',
    };
    const [small, large] = [await load(rows, choices), await load(rows, choices, { memory: 0 })];
    expect(large.transforms).toEqual(small.transforms);
    expect(large.signature.features).toEqual(small.signature.features);
  });
});
