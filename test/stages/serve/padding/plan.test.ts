import { describe, expect, it } from 'vitest';
import type { DType } from '../../../../src/ir/tensor.js';
import { serveOptions } from '../../../../src/stages/serve/config.js';
import { planPadding, type PaddingPlan } from '../../../../src/stages/serve/padding/plan.js';

function plan(dtype: DType, padding: unknown, shape = ['N', 'S', 'T']): PaddingPlan {
  const ports = {
    inputs: [
      { name: 'x', dtype, shape },
      { name: 'other', dtype: 'float32', shape: ['N', 2] },
    ],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['N', 'T', 'S'] }],
  } as const;
  return planPadding(ports, serveOptions.parse({ padding }).padding!);
}

describe('planPadding', () => {
  it('finds inputs and outputs with the dimension', () => {
    const { inputs, outputs } = plan('float32', { T: { value: -1 } });
    expect([...inputs].map(([name, { axes, value }]) => [name, [...axes.keys()], value])).toEqual([
      ['x', [2], -1],
    ]);
    expect([...outputs].map(([name, axes]) => [name, [...axes.keys()]])).toEqual([['y', [1]]]);
  });

  it.each<[DType, unknown, unknown]>([
    ['int64', 3, 3n],
    ['uint64', 0, 0n],
    ['int8', -128, -128],
    ['bool', 1, 1],
    ['float16', 1, 0x3c00],
    ['float32', -3.4e38, -3.4e38],
    ['bfloat16', 0, 0],
  ])('gives %s the value %j', (dtype, value, held) => {
    expect(plan(dtype, { S: { value } }).inputs.get('x')?.value).toBe(held);
  });

  it.each<[DType, unknown]>([
    ['int64', 0.5],
    ['int8', 128],
    ['uint8', -1],
    ['uint64', -1],
    ['bool', 2],
    ['bfloat16', 1],
  ])('refuses to give %s the value %j', (dtype, value) => {
    expect(() => plan(dtype, { S: { value } })).toThrow(
      `serve.padding.S.value: input x holds ${dtype}, and not ${String(value)}`,
    );
  });

  it('refuses text, two values for one input, and dimensions that are fixed', () => {
    expect(() => plan('string', { S: {} })).toThrow('input x holds text');
    expect(() => plan('float32', { S: { value: 1 }, T: { value: { x: 2 } } })).toThrow(
      'input x is to be padded with 1 along S, and with 2 along T',
    );
    expect(() => plan('float32', { S: {} }, ['N'])).toThrow(
      expect.objectContaining({ hint: 'All of its dimensions are fixed.' }) as Error,
    );
  });
});
