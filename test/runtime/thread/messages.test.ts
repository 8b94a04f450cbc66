import { describe, expect, it } from 'vitest';
import type { Feeds } from '../../../src/runtime/session.js';
import { packArrays } from '../../../src/runtime/thread/messages.js';

describe('packArrays', () => {
  it('hands over what fills its buffer, and copies views and what is not its own', () => {
    const whole = Float32Array.of(1, 2);
    const shared = Float32Array.of(1, 2, 3, 4);
    const arrays: Feeds = {
      whole: { dtype: 'float32', dims: [2], data: whole },
      view: { dtype: 'float32', dims: [2], data: shared.subarray(1, 3) },
      text: { dtype: 'string', dims: [1], data: ['a'] },
    };
    const { packed, transfer } = packArrays(arrays, true);
    expect(packed['whole']!.data).toBe(whole);
    expect(packed['view']!.data).toEqual(Float32Array.of(2, 3));
    expect(transfer).toHaveLength(2);
    expect(transfer).not.toContain(shared.buffer);
    expect(packArrays(arrays, false).packed['whole']!.data).not.toBe(whole);
    structuredClone(whole, { transfer: [whole.buffer] });
    expect(() => packArrays(arrays, true)).toThrow('whole was given away');
  });
});
