import { describe, expect, it } from 'vitest';
import { encodeRows } from '../../src/data/index.js';
import type { Signature } from '../../src/data/signature.js';

const signature: Signature = {
  schemaVersion: 1,
  name: 'penguins',
  task: 'classification',
  features: [
    { name: 'bill_length', type: 'number', input: 'features', column: 0, min: 30, max: 60 },
    { name: 'island', type: 'category', input: 'island', column: 0, categories: ['Biscoe', 'Dream', '3'] },
    { name: 'body_mass', type: 'number', input: 'features', column: 1, min: 2700, max: 6300 },
  ],
  inputs: [
    { name: 'features', dtype: 'float32', shape: ['N', 2] },
    { name: 'island', dtype: 'string', shape: ['N', 1] },
  ],
  outputs: [{ name: 'label', dtype: 'string', shape: ['N'] }],
  target: { name: 'species', labels: ['a', 'b'] },
  data: { digest: '0' },
};
const good = { bill_length: 39.5, island: 'Dream', body_mass: 3800 };

describe('encodeRows', () => {
  it('puts each value in its column', () => {
    expect(encodeRows(signature, [good, { island: 'never seen', body_mass: 1, bill_length: 2 }])).toEqual({
      ok: true,
      rows: 2,
      inputs: {
        features: { dtype: 'float32', dims: [2, 2], data: Float32Array.of(39.5, 3800, 2, 1) },
        island: { dtype: 'string', dims: [2, 1], data: ['Dream', 'never seen'] },
      },
    });
  });

  it('takes a number for a category that training saw written so', () => {
    const encoded = encodeRows(signature, [{ ...good, island: 3 }]);
    expect(encoded.ok && encoded.inputs['island']!.data).toEqual(['3']);
  });

  it.each<[unknown, string | undefined, string]>([
    [{ ...good, island: 4 }, 'island', 'row 1: field "island" must be text, found the number 4'],
    [{ ...good, island: null }, 'island', 'row 1: field "island" must be text, found null'],
    [
      { ...good, bill_length: '39' },
      'bill_length',
      'row 1: field "bill_length" must be a number, found the string "39"',
    ],
    [
      { ...good, bill_length: [39] },
      'bill_length',
      'row 1: field "bill_length" must be a number, found a list',
    ],
    [
      { ...good, bill_length: NaN },
      'bill_length',
      'row 1: field "bill_length" must be a finite number, found NaN',
    ],
    [{ ...good, body_mass: 1e39 }, 'body_mass', 'row 1: field "body_mass" is too large: 1e+39'],
    [{ bill_length: 1, island: 'Dream' }, 'body_mass', 'row 1: field "body_mass" is missing'],
    [{ ...good, islnad: 'x' }, 'islnad', 'row 1: unknown field "islnad". Did you mean "island"?'],
    [
      { ...good, zzz: 'x' },
      'zzz',
      'row 1: unknown field "zzz". Known fields: bill_length, island, body_mass.',
    ],
    [
      'text',
      undefined,
      'row 1: expected an object with the fields bill_length, island, body_mass; found the string "text"',
    ],
  ])('refuses %j', (row, field, message) => {
    expect(encodeRows(signature, [good, row])).toEqual({ ok: false, errors: [{ row: 1, field, message }] });
  });

  it('does not take inherited properties for fields', () => {
    const odd: Signature = { ...signature, features: [{ ...signature.features[0]!, name: 'toString' }] };
    expect(encodeRows(odd, [{}])).toMatchObject({
      ok: false,
      errors: [{ message: 'row 0: field "toString" is missing' }],
    });
  });

  it('names every wrong field, and stops after the first few rows', () => {
    const result = encodeRows(signature, [{}]);
    expect(!result.ok && result.errors.map((error) => error.field)).toEqual([
      'bill_length',
      'island',
      'body_mass',
    ]);
    const many = encodeRows(signature, new Array<unknown>(1000).fill(null));
    expect(!many.ok && many.errors.length).toBe(20);
    const wide = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`other${index}`, 1]));
    const one = encodeRows(signature, [wide]);
    expect(!one.ok && one.errors.length).toBe(20);
  });

  it('looks for what was meant by a name in no time, however long it is', { timeout: 2000 }, () => {
    const result = encodeRows(signature, [{ ...good, ['x'.repeat(2 ** 23)]: 1 }]);
    expect(!result.ok && result.errors.length).toBe(1);
  });
});
