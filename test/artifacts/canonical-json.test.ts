import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/artifacts/index.js';

describe('canonicalJson', () => {
  it('gives back the value when parsed', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        // JSON has one zero.
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('does not depend on the order of keys', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const reversed = Object.fromEntries(Object.entries(value).reverse());
        expect(canonicalJson(reversed)).toBe(canonicalJson(value));
      }),
    );
  });

  it('writes one spelling', () => {
    expect(canonicalJson({ b: [1, -0, 1e21, 0.1, 1e-7], a: { d: null, c: true }, é: '\n"\u2028' })).toBe(
      '{"a":{"c":true,"d":null},"b":[1,0,1e+21,0.1,1e-7],"é":"\\n\\"\u2028"}',
    );
  });

  it('leaves out what is undefined', () => {
    expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}');
  });

  it.each([
    [{ loss: NaN }, '$.loss is NaN'],
    [[1, Infinity], '$[1] is Infinity'],
    [{ a: [undefined] }, '$.a[0] is undefined'],
    // eslint-disable-next-line no-sparse-arrays
    [[1, , 2], '$[1] is undefined'],
    [{ n: 1n }, '$.n is bigint'],
    [{ at: new Date(0) }, '$.at is a Date'],
    [new Map(), '$ is a Map'],
    [{ weights: new Float32Array(2) }, '$.weights is a Float32Array'],
    [() => 1, '$ is function'],
  ])('refuses %o', (value, message) => {
    expect(() => canonicalJson(value)).toThrow(message);
  });
});
