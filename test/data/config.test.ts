import { describe, expect, it } from 'vitest';
import { extensions } from '../../src/data/readers/formats.js';
import { dataSchema } from '../../src/data/index.js';

const minimal = { source: 'data/iris.csv', target: 'species' };

describe('the data section', () => {
  it('needs a source and a target, and splits 70 : 15 : 15 by default', () => {
    expect(dataSchema.parse(minimal)).toEqual({
      ...minimal,
      memory: 256,
      transforms: {},
      split: { train: 0.7, validation: 0.15, test: 0.15 },
      missing: { numbers: 'median', categories: 'own', target: 'error' },
    });
  });

  it('takes shares that add up to 1 within rounding', () => {
    const split = { train: 0.333, validation: 0.333, test: 0.333 };
    expect(dataSchema.parse({ ...minimal, split }).split).toEqual(split);
  });

  it.each<[Record<string, unknown>, (string | number)[], string]>([
    [
      { split: { train: 0.7, validation: 0.2, test: 0.2 } },
      ['split'],
      'train, validation and test must add up to 1, these add up to 1.1',
    ],
    [
      { split: { train: 1, validation: 0, test: 0 } },
      ['split', 'train'],
      'each part of the split needs a share below 1',
    ],
    [
      { source: 'data.xlsx' },
      ['source'],
      `no reader for ".xlsx", expected a folder, or a file that ends in ${extensions.join(', ')}`,
    ],
    [
      { task: 'reconstruction', source: 'rows.npz' },
      ['task'],
      'rows of columns are reconstructed, and rows.npz has none',
    ],
    [
      { task: 'reconstruction', types: { scan: 'image' } },
      ['types', 'scan'],
      'rows of columns are reconstructed, and no image',
    ],
    [
      { task: 'reconstruction', missing: { target: 'drop' } },
      ['missing', 'target'],
      'a reconstruction has no target that could be missing',
    ],
    [{ images: {} }, ['images'], 'no column has images: say which under data.types, such as {file: image}'],
    [{ types: { species: 'image' } }, ['types', 'species'], 'the target is a number or a category'],
    [{ source: 'images', delimiter: ';' }, ['delimiter'], 'images has no delimiters'],
    [{ source: 'v1.2/', sql: 'FROM source' }, ['sql'], 'v1.2 is a folder, and no table'],
    [
      { source: 'images', target: 'image' },
      ['target'],
      '"image" is what the images are called: give their classes another name',
    ],
    [
      { source: 'images', images: { colorMode: 'grayscale', mean: [0, 0, 0], std: [1] } },
      ['images', 'mean'],
      'expected 1 number, as grayscale has channels',
    ],
    [
      { source: 'images', images: { mean: [0, 0, 0] } },
      ['images', 'mean'],
      'say std too, such as 1 for each channel',
    ],
    [{ features: ['a', 'b', 'a'] }, ['features', 2], '"a" is listed twice'],
    [{ features: ['species'] }, ['features', 0], '"species" is the target, it cannot be a feature too'],
    [{ features: ['a', 'b'], exclude: ['b'] }, ['features', 1], '"b" is under data.exclude too'],
    [{ exclude: ['species'] }, ['exclude', 0], '"species" is the target, it cannot be excluded'],
    [{ source: 'a.jsonl', delimiter: ';' }, ['delimiter'], 'a.jsonl has no delimiters'],
    [{ delimiter: '||' }, ['delimiter'], 'expected a single character'],
    [{ delimiter: '"' }, ['delimiter'], 'a quote or line break cannot separate fields'],
  ])('refuses %j', (change, path, message) => {
    const result = dataSchema.safeParse({ ...minimal, ...change });
    expect(result.error?.issues[0]).toMatchObject({ path, message });
  });

  it('refuses unknown keys', () => {
    expect(dataSchema.safeParse({ ...minimal, tarrget: 'x' }).error?.issues[0]).toMatchObject({
      code: 'unrecognized_keys',
      keys: ['tarrget'],
    });
  });
});
