import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { scanTensors } from '../../../src/stages/serve/json/scan.js';

const scan = (text: string, single: boolean): number[] | undefined => {
  const scanned = scanTensors(Buffer.from(text), single);
  return scanned && Array.from(scanned.lists[0]!.values);
};

/** What features mostly look like. */
const plain = fc
  .tuple(fc.constantFrom('', '-'), fc.nat(9), fc.nat(8), fc.bigInt({ min: 0n, max: 10n ** 26n }))
  .map(([sign, whole, zeros, digits]) => `${sign}${whole}.${'0'.repeat(zeros)}${digits}`);

/** Texts of numbers as people, Python and the devil print them. */
const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.float({ noNaN: true, noDefaultInfinity: true, min: -10, max: 10 }).map((value) => value.toFixed(25)),
  // Next to the middle between two singles, where rounding twice would show.
  fc.tuple(fc.integer({ min: 1, max: 0x7f7f_fffe }), fc.integer({ min: -80, max: 80 })).map(([bits, off]) => {
    const single = new Float32Array(new Uint32Array([bits, bits + 1]).buffer);
    const double = new Float64Array([(single[0]! + single[1]!) / 2]);
    new BigInt64Array(double.buffer)[0]! += BigInt(off);
    return double[0]!.toPrecision(25).replace('+', '');
  }),
  plain,
  fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }).map(String),
  fc.integer().map((value) => `${value}e-${Math.abs(value) % 40}`),
  fc.constantFrom('-0', '0', '0.0', '1E5', '1e+5', '0.1e-2', '9007199254740993', '1e400', '-1e-400'),
);
const blank = fc.constantFrom('', ' ', '\n\t', '\r\n  ');

afterEach(() => vi.unstubAllGlobals());

describe('numbers in JSON', () => {
  it('are those that JSON.parse reads, to the last bit, in single and in double precision', () => {
    fc.assert(
      fc.property(fc.array(number), blank, (texts, gap) => {
        const list = `[${gap}${texts.join(`${gap},${gap}`)}${gap}]`;
        const expected = texts.map(Number);
        expect(scan(`{"data"${gap}:${gap}${list}}`, false)).toEqual(expected);
        expect(scan(`{"data":${list}}`, true)).toEqual(expected.map(Math.fround));
      }),
      { numRuns: 2000 },
    );
  });

  it('are those in lists of any length, wherever its pieces are cut', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(number, plain).chain((kind) => fc.array(kind, { minLength: 20, maxLength: 60 })),
        blank,
        fc.boolean(),
        fc.nat(70_000),
        (texts, gap, before, more) => {
          const many = Array.from({ length: 1 + more / 8 }, (_, index) => texts[(index * 7) % texts.length]!);
          const list = `[${many.join(before ? `${gap},${gap}` : `,${gap}`)}${gap}]`;
          expect(scan(`{"data":${list},"b":[1]}`, true)).toEqual(
            many.map((text) => Math.fround(Number(text))),
          );
        },
      ),
      { numRuns: 40 },
    );
    for (const rest of ['', ',', '-', '.', 'e', ' 1', '-1', ']5', ',]', '0.5', '1.', '}']) {
      const text = `{"data":[${'1.25,'.repeat(200)}2.5${rest}]}`;
      const valid = (() => {
        try {
          return (JSON.parse(text) as { data: number[] }).data;
        } catch {
          return undefined;
        }
      })();
      const scanned = scanTensors(Buffer.from(text), true);
      if (valid) expect(Array.from(scanned!.lists[0]!.values)).toEqual(valid);
      else if (scanned) expect(() => JSON.parse(scanned.text) as unknown).toThrow();
    }
  });

  it('are refused where JSON refuses them, and nothing is missed where it does not', () => {
    const piece = fc.constantFrom(
      ...'0123456789+-.eE,[] "{}:ntrue\\'.split(''),
      '"data"',
      '"data":[1]',
      '1.5',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = `{"data":[${pieces.join('')}]}`;
        const scanned = scanTensors(Buffer.from(text), false);
        if (!scanned) return;
        let whole: unknown;
        try {
          whole = JSON.parse(text);
        } catch {
          // What is left of a text that is no JSON is no JSON either.
          expect(() => JSON.parse(scanned.text) as unknown).toThrow();
          return;
        }
        const fill = (value: unknown): unknown =>
          JSON.parse(JSON.stringify(value), (key, held: unknown) =>
            key === 'data' && typeof held === 'number' ? scanned.lists[held]!.parse() : held,
          );
        expect(fill(JSON.parse(scanned.text))).toEqual(whole);
      }),
      { numRuns: 5000 },
    );
  });

  it('take no room for what lies behind their list', () => {
    let room = 0;
    vi.stubGlobal(
      'Float64Array',
      new Proxy(Float64Array, {
        construct(made, [length, ...rest]: [unknown], as: NewableFunction) {
          if (typeof length === 'number') room += length;
          return Reflect.construct(made, [length, ...rest], as) as object;
        },
      }),
    );
    const list = `{"data":[${Array(20).fill(7).join()}]}`;
    const text = `[${Array(300).fill(list).join()}]`;
    expect(scanTensors(Buffer.from(text), false)!.lists).toHaveLength(300);
    expect(room).toBeLessThan(20 * 20 * 300);
  });

  it('are not read in more lists than are asked for', () => {
    const text = '{"a":{"data":[1]},"b":{"data":[2]}}';
    expect(scanTensors(Buffer.from(text), true, 2)!.lists).toHaveLength(2);
    expect(scanTensors(Buffer.from(text), true, 1)).toBeUndefined();
  });

  it('leaves texts alone that only look like data', () => {
    const text = String.raw`{"id":"\"data\":[1]","name":"data","inputs":[{"data":[1,2]},{"data":[3]}]}`;
    const scanned = scanTensors(Buffer.from(text), true)!;
    expect(JSON.parse(scanned.text)).toEqual({
      id: '"data":[1]',
      name: 'data',
      inputs: [{ data: 0 }, { data: 1 }],
    });
    expect(scanned.lists.map(({ values }) => Array.from(values))).toEqual([[1, 2], [3]]);
    for (const broken of ['{"data":[1]e0}', '{"data":[1].5}', '{"data":[1]2}']) {
      const { text } = scanTensors(Buffer.from(broken), true)!;
      expect(() => JSON.parse(text) as unknown).toThrow();
    }
    for (const other of ['{"data":[[1],[2]]}', '{"data":["a"]}', '{"data":0}', '{"data":[null]}', '[1,2]']) {
      expect(scanTensors(Buffer.from(other), true)).toBeUndefined();
    }
  });
});
