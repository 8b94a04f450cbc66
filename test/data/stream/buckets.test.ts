import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hexOf } from '../../../src/data/content-hash.js';
import { Buckets, firstNumber, lineWord } from '../../../src/data/stream/buckets.js';
import { Spill } from '../../../src/data/stream/median.js';
import { NumberSet } from '../../../src/data/stream/number-set.js';
import { readNumber } from '../../../src/data/stream/read-number.js';
import { Repeats } from '../../../src/data/stream/repeats.js';
import { TextIndex } from '../../../src/data/stream/text-index.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-buckets-'));
});
afterAll(() => rm(root, { recursive: true }));

describe('Buckets', () => {
  it('give many records back in the order of their keys, rows in order, as often as asked', () => {
    const buckets = new Buckets(root, 40 * 2 ** 25, 2, (word) => word / 2 ** 32);
    const records = Array.from({ length: 20_000 }, (_, row) => {
      const key = createHash('sha256')
        .update(`${row % 15_000}`)
        .digest();
      // Keys that only their last words tell apart.
      if (row % 7 === 0) key.fill(1, 0, 8);
      return { hash: key.toString('hex', 0, 16), key, row };
    });
    for (const { key, row } of records) {
      const words = Uint32Array.from({ length: 4 }, (_, index) => key.readUInt32BE(4 * index));
      buckets.add(words, row, row + 2, Float64Array.of(row, -row / 3));
    }
    const expected = records
      .toSorted((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : a.row - b.row))
      .map(({ hash, row }) => [hash, row + 2, row, -row / 3]);
    for (let time = 0; time < 2; time++) {
      const found: unknown[] = [];
      for (const { order, words, wordsEach, numbers, numbersEach } of buckets.read())
        for (const place of order) {
          const [at, first] = [place * wordsEach, place * numbersEach + firstNumber];
          const hash = hexOf(words.subarray(at, at + 4));
          found.push([hash, words[at + lineWord], numbers[first], numbers[first + 1]]);
        }
      expect(found).toEqual(expected);
    }
  });
});

it('tells numbers apart as a Set does', () => {
  const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(0, -0, NaN, Infinity, -Infinity));
  fc.assert(
    fc.property(fc.array(number, { maxLength: 300 }), (values) => {
      const [ours, theirs] = [new NumberSet(), new Set<number>()];
      for (const value of values) expect(ours.add(value)).toBe(theirs.size !== theirs.add(value).size);
      expect(ours.size).toBe(theirs.size);
      expect(new Set(ours)).toEqual(theirs);
    }),
  );
});

it('finds texts by their bytes as a Map finds them', () => {
  const texts = fc.array(fc.string({ maxLength: 3, unit: fc.constantFrom('a', 'b', 'é', '\0') }), {
    maxLength: 300,
  });
  fc.assert(
    fc.property(texts, (written) => {
      const [ours, theirs] = [new TextIndex(), new Map<string, number>()];
      for (const text of written) {
        const bytes = Buffer.from(`x${text}x`);
        const found = ours.find(bytes, 1, bytes.length - 1);
        expect(found).toBe(theirs.get(text) ?? -1);
        if (found !== -1) continue;
        ours.add(bytes, 1, bytes.length - 1);
        theirs.set(text, theirs.size);
      }
    }),
  );
});

describe('Spill', () => {
  it('finds the median that sorting finds', () => {
    let file = 0;
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 }), {
          minLength: 1,
          maxLength: 40,
        }),
        (values) => {
          const spill = new Spill(join(root, `spill-${file++}`));
          for (const value of values) spill.add(value);
          const sorted = values.toSorted((a, b) => a - b);
          const middle = sorted.length >> 1;
          const median =
            sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
          expect(spill.median() + 0).toBe(median + 0);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('readNumber', () => {
  const read = (text: string): number => {
    const bytes = Buffer.from(`9${text}9`);
    return readNumber(bytes, 1, bytes.length - 1);
  };
  const digits = fc.string({ unit: fc.constantFrom('0', '1', '2', '3', '5', '8', '9'), maxLength: 12 });
  it('reads what Number reads, to the bit, or leaves it to Number', () => {
    const text = fc
      .tuple(
        fc.constantFrom('', '-', '+'),
        digits,
        fc.constantFrom('', '.'),
        digits,
        fc.constantFrom('', 'e', 'E-', 'e+'),
        digits,
      )
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(text, fc.double().map(String), fc.string()), (written) => {
        const found = read(written);
        if (!Number.isNaN(found)) expect(found).toBe(Number(written));
      }),
      { numRuns: 3000 },
    );
    expect(['5', '-0', '.5', '5.', '1e3', '0.1', '123456.789', '00012'].map(read)).toEqual([
      5, -0, 0.5, 5, 1000, 0.1, 123456.789, 12,
    ]);
    expect(
      ['', '.', '-', 'e3', '1e', '1e+', '0x1', '1_0', ' 1', '1,5'].filter(
        (written) => !Number.isNaN(read(written)),
      ),
    ).toEqual([]);
  });
});

describe('Repeats', () => {
  it('counts copies among all rows while they fit, and a share of them when they do not', () => {
    const repeats = new Repeats();
    const rows = 700_000;
    const values = new Float64Array(2);
    for (let row = 0; row < rows; row++) repeats.add(values.fill(row), 0, 2, row, true);
    expect(repeats.share).toBe(1);
    for (let row = 0; row < rows; row++)
      repeats.add(values.fill(row % 2 === 0 ? row : -row), 0, 2, row, false);
    expect(repeats.share).toBe(2);
    expect(repeats.lines().length / rows).toBeCloseTo(0.25, 2);
  });
});
