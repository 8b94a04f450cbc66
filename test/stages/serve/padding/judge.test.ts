import { describe, expect, it } from 'vitest';
import type { NdArray } from '../../../../src/ir/tensor.js';
import type { Feeds } from '../../../../src/runtime/session.js';
import { judgePadding } from '../../../../src/stages/serve/padding/judge.js';
import { planPadding, type PaddingPlan } from '../../../../src/stages/serve/padding/plan.js';

const ports = {
  inputs: [{ name: 'x', dtype: 'float32', shape: ['N', 'S'] }],
  outputs: [
    { name: 'y', dtype: 'float32', shape: ['N'] },
    { name: 'z', dtype: 'float32', shape: ['N', 'unknown'] },
  ],
} as const;
const plan = planPadding(ports, { S: { value: 0, buckets: 'auto' } });
const rows: NdArray = {
  dtype: 'float32',
  dims: [2, 8],
  data: Float32Array.from({ length: 16 }, (_, at) => at + 1),
};
const golden = { inputs: { x: rows }, outputs: {}, tolerance: 1e-3 };

type Values = readonly number[];

/** A model that gives a number for each row, and the row itself. @returns what becomes of its padding, and the lengths it ran. */
async function judge(
  answer: (row: Values, rows: number) => number,
  {
    dtype = 'float32',
    z = (row: Values): Values => row,
  }: { dtype?: 'float32' | 'int32'; z?: (row: Values) => Values } = {},
): Promise<{ judged: PaddingPlan | string; lengths: number[] }> {
  const lengths: number[] = [];
  const run = ({ x }: Feeds): Promise<Record<string, NdArray>> => {
    const [count, length] = x!.dims as [number, number];
    lengths.push(length);
    const all = Array.from({ length: count }, (_, row) => [
      ...(x!.data as Float32Array).subarray(row * length, (row + 1) * length),
    ]);
    const y = all.map((row) => answer(row, count));
    const type = dtype === 'float32' ? Float32Array : Int32Array;
    const same = all.map(z);
    const wide = type.from(same.flat());
    return Promise.resolve({
      y: { dtype, dims: [count], data: type.from(y) as never },
      z: { dtype, dims: [count, same[0]!.length], data: wide as never },
    });
  };
  return { judged: await judgePadding(run, { ports, golden }, plan), lengths };
}

const sum = (row: Values): number => row.reduce((total, value) => total + value, 0);

describe('judgePadding', () => {
  it('takes rows beside one that is longer by half, and learns what is as long as they are', async () => {
    const { judged, lengths } = await judge(sum);
    expect(lengths).toEqual([8, 8, 12, 12]);
    expect([...(judged as PaddingPlan).outputs].map(([name, axes]) => [name, [...axes.keys()]])).toEqual([
      ['z', [1]],
    ]);
  });

  it('takes halves of rows where the model takes no longer ones', async () => {
    const most =
      (limit: number) =>
      (row: Values): number => {
        if (row.length > limit) throw new Error('too long');
        return sum(row);
      };
    const { judged, lengths } = await judge(most(8));
    expect(lengths).toEqual([8, 8, 12, 4, 4, 8, 8]);
    expect(judged).not.toBeTypeOf('string');
    expect((await judge(most(3))).judged).toBe('it takes no rows that it could be tried with');
  });

  it.each<[string, (row: Values, rows: number) => number, RegExp]>([
    ['a mean', (row) => sum(row) / row.length, /^padding changes an answer \(y\[0\] is 3 and not 4\.5\)$/],
    ['a mean of very small numbers', (row) => (1e-6 * sum(row)) / row.length, /^padding changes an answer/],
    ['no number', () => NaN, /^padding changes an answer \(y holds what is no number\)$/],
    [
      'an error for more than one row',
      (row, rows) => {
        if (rows > 1) throw new Error('one at a time');
        return sum(row);
      },
      /^it cannot run padded: one at a time$/,
    ],
  ])('refuses %s', async (_, answer, reason) => {
    expect((await judge(answer)).judged).toMatch(reason);
  });

  it('refuses answers in which small differences do not show, and those of another length than rows', async () => {
    expect((await judge(sum, { dtype: 'int32' })).judged).toMatch(/^its answers hold no real numbers/);
    const { judged } = await judge(sum, { z: (row) => [...row, 0] });
    expect(judged).toMatch(/^padding changes an answer \(z has shape \[1, 13\]\)$/);
  });
});
