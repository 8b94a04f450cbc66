import { Readable } from 'node:stream';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { hexOf, startHashing } from '../../src/data/content-hash.js';
import { RowFields, type Fields } from '../../src/data/readers/fields.js';
import { scanCsv } from '../../src/data/readers/scan-csv.js';

const words = new Uint32Array(4);

function hash(seed: number, cells: readonly string[]): number[] {
  const columns = cells.map((_, index) => index);
  startHashing(seed)(new RowFields(cells.length).fill(cells, 2), columns, words);
  return [...words];
}

it.each([
  [7, [''], [944379902, 834351246, 4008774434, 391649852]],
  [7, ['a', 'bc', 'def', 'ghij'], [2596936767, 2713456813, 1656736777, 2221644054]],
  [1, ['-0.52244', '0.82699', 'red'], [2977074935, 3476838050, 3360384862, 196685436]],
  [0, ['é"\\', 'x'.repeat(37)], [628594276, 1674764257, 2976456005, 1197626940]],
])('hashes %d and %j as the mmh3 package of Python does', (seed, cells, expected) => {
  expect(hash(seed, cells)).toEqual(expected);
});

it('is the same for a field that was quoted, padded or in another place', async () => {
  const found: string[] = [];
  const lines = 'a,"say ""hi""",c\n  a ,"say ""hi""","c"\n';
  const chunks = Readable.from([Buffer.from(lines)]);
  await scanCsv('x.csv', chunks, ',', (fields: Fields) => {
    startHashing(3)(fields, [0, 1, 2], words);
    found.push(hexOf(words));
    return undefined;
  });
  hash(3, ['a', 'say "hi"', 'c']);
  expect(found).toEqual([hexOf(words), hexOf(words)]);
});

it('tells rows apart by where fields end, by the seed and by each byte', () => {
  const rows = fc.array(fc.string({ maxLength: 9, unit: fc.constantFrom('a', '\0', 'é', '0') }), {
    minLength: 1,
    maxLength: 4,
  });
  fc.assert(
    fc.property(rows, rows, fc.integer(), (one, other, seed) => {
      const isSame = JSON.stringify(one) === JSON.stringify(other);
      expect(JSON.stringify(hash(seed, one)) === JSON.stringify(hash(seed, other))).toBe(isSame);
      expect(hash(seed, one)).not.toEqual(hash(seed + 1, one));
    }),
  );
});
