import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocate, sizeOf, type NdArray, type NumericDType } from '../../../../src/ir/tensor.js';
import type { PaddingOptions } from '../../../../src/stages/serve/padding/options.js';
import { Padder } from '../../../../src/stages/serve/padding/padder.js';
import { planPadding } from '../../../../src/stages/serve/padding/plan.js';

const shape = ['N', 'S', 2, 'T'];

function padderOf(dtype: NumericDType, options: PaddingOptions): Padder {
  const inputs = [
    { name: 'x', dtype, shape },
    { name: 'z', dtype: 'float32', shape: ['N', 3] },
  ] as const;
  const outputs = [
    { name: 'x', dtype, shape },
    { name: 'words', dtype: 'string', shape: ['N', 'T'] },
    { name: 'z', dtype: 'float32', shape: ['N', 3] },
  ] as const;
  return new Padder(planPadding({ inputs, outputs }, options));
}

/** 1, 2, 3, … */
function count(dtype: NumericDType, dims: number[]): NdArray {
  const data = allocate(dtype, sizeOf(dims));
  const isWide = data instanceof BigInt64Array || data instanceof BigUint64Array;
  for (let index = 0; index < data.length; index++) data[index] = isWide ? BigInt(index + 1) : index + 1;
  return { dtype, dims, data: data as never };
}

describe('Padder', () => {
  it('fills up what it joins with the value, and takes it apart as it was', () => {
    const part = fc.record({ rows: fc.nat(3), s: fc.nat(5), t: fc.nat(5) });
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 5 }),
        fc.constantFrom<NumericDType>('float32', 'int64', 'int32'),
        fc.constantFrom(0, -7),
        (drawn, dtype, value) => {
          const padder = padderOf(dtype, { S: { value, buckets: 'auto' }, T: { value, buckets: 'auto' } });
          const parts = drawn.map(({ rows, s, t }) => ({
            x: count(dtype, [rows, s, 2, t]),
            z: count('float32', [rows, 3]),
          }));
          const { x, z } = padder.join(parts);
          const longest = (of: 's' | 't'): number => Math.max(...drawn.map((each) => each[of]));
          const rows = drawn.reduce((sum, each) => sum + each.rows, 0);
          expect(x!.dims).toEqual([rows, longest('s'), 2, longest('t')]);
          const sent = parts.reduce((sum, each) => sum + each.x.data.length, 0);
          const filled = [...x!.data].filter((each) => Number(each) === value);
          expect(filled).toHaveLength(x!.data.length - sent);
          const words = {
            dtype: 'string',
            dims: [rows, longest('t')],
            data: Array.from({ length: rows * longest('t') }, (_, index) => `${index}`),
          } as const;
          const answers = padder.split(
            { x: x!, z: z!, words: { ...words, dims: [...words.dims], data: [...words.data] } },
            parts,
            drawn.map((each) => each.rows),
          )!;
          let row = 0;
          for (const [index, answer] of answers.entries()) {
            expect({ x: answer['x'], z: answer['z'] }).toEqual(parts[index]);
            const { rows: own, t } = drawn[index]!;
            const expected = Array.from({ length: own * t }, (_, at) => {
              return `${(row + Math.floor(at / t)) * longest('t') + (at % t)}`;
            });
            expect(answer['words']).toEqual({ dtype: 'string', dims: [own, t], data: expected });
            row += own;
          }
        },
      ),
      { numRuns: 200, seed: 7 },
    );
  });

  it('takes no outputs apart that are of another length', () => {
    const padder = padderOf('float32', { T: { value: 0, buckets: 'auto' } });
    const parts = [2, 3].map((t) => ({ x: count('float32', [1, 1, 2, t]), z: count('float32', [1, 3]) }));
    const { x, z } = padder.join(parts);
    const words = { dtype: 'string', dims: [2, 2], data: ['a', 'b', 'c', 'd'] } as const;
    const outputs = { x: x!, z: z!, words: { ...words, dims: [2, 2], data: [...words.data] } };
    expect(padder.split(outputs, parts, [1, 1])).toBeUndefined();
  });

  it('lets those share runs by itself that differ by less than a fifth, or have up to 8', () => {
    const padder = padderOf('float32', { T: { value: 0, buckets: 'auto' } });
    const keyOf = (t: number): string => padder.keyOf({ x: count('float32', [1, 1, 2, t]) });
    let shortest = 1;
    for (let length = 1; length <= 600; length++) {
      if (keyOf(length) !== keyOf(shortest)) shortest = length;
      if (length > 8) expect(shortest).toBeGreaterThan(0.8 * length);
      else expect(shortest).toBe(1);
    }
    const edges = [8, 9, 10, 11, 12, 16, 17, 20, 21, 500, 512, 513].map(keyOf);
    expect(edges.map((key) => edges.indexOf(key))).toEqual([0, 1, 1, 3, 3, 5, 6, 6, 8, 9, 9, 11]);
    expect(keyOf(0)).not.toBe(keyOf(1));
  });
});
