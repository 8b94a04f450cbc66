import { describe, expect, it } from 'vitest';
import type { NdArray } from '../../../src/ir/tensor.js';
import type { Feeds } from '../../../src/runtime/session.js';
import { AnswerCache, type CacheResult } from '../../../src/stages/serve/answer-cache.js';
import type { Outputs } from '../../../src/stages/serve/batcher.js';

const of = (...values: number[]): Feeds => ({
  x: { dtype: 'float32', dims: [values.length], data: Float32Array.from(values) },
});
const texts = (...values: string[]): Feeds => ({
  x: { dtype: 'string', dims: [values.length], data: values },
});

function makeCache(maxBytes: number) {
  const uses: CacheResult[] = [];
  const cache = new AnswerCache({ maxBytes, onUse: (result) => uses.push(result) });
  let runs = 0;
  const ask = (feeds: Feeds, alone = false, answer: Partial<NdArray> = {}): Promise<Outputs> =>
    cache.find(
      feeds,
      async () => {
        runs++;
        await Promise.resolve();
        return { y: { ...feeds['x']!, ...answer } };
      },
      alone,
    );
  return { cache, uses, ask, runs: () => runs };
}

describe('a cache of answers', () => {
  it('keeps them by all that the inputs are', async () => {
    const { ask, runs } = makeCache(1e6);
    const different: Feeds[] = [
      of(1, 2),
      of(2, 1),
      { x: { ...of(1, 2)['x']!, dims: [2, 1] } },
      { y: of(1, 2)['x']! },
      { x: { dtype: 'int32', dims: [2], data: new Int32Array(Float32Array.of(1, 2).buffer) } },
      texts('a', 'bc'),
      texts('ab', 'c'),
      texts('a","bc'),
    ];
    for (const feeds of different) await ask(feeds, false, of(0)['x']);
    for (const feeds of different) await ask(feeds, false, of(0)['x']);
    expect(runs()).toBe(different.length);
    // The caller may fill its arrays again, and views of a larger buffer are read as far as they go.
    const large = Float32Array.of(7, 1, 2, 9);
    await ask({ x: { dtype: 'float32', dims: [2], data: large.subarray(1, 3) } });
    expect(runs()).toBe(different.length);
  });

  it('lets equal requests that are under way share a run, but no error outlive it', async () => {
    const { ask, uses, cache } = makeCache(0);
    const [a, b] = await Promise.all([ask(of(1)), ask(of(1)), ask(of(1), true)]);
    expect(a).toBe(b);
    expect(uses).toEqual(['miss', 'shared', 'miss']);
    const fail = (): Promise<Outputs> => Promise.reject(new Error('no'));
    const failures = await Promise.allSettled([
      cache.find(of(2), fail, false),
      cache.find(of(2), fail, false),
    ]);
    expect(failures.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await ask(of(2));
    expect(cache.bytes).toBe(0);
  });

  it('stays within its bytes: what was asked for longest ago goes', async () => {
    const { ask, cache, runs } = makeCache(2500);
    for (const value of [1, 2, 3, 4]) await ask(of(value));
    await ask(of(1));
    await ask(of(5));
    expect(runs()).toBe(5);
    expect(cache.bytes).toBeLessThanOrEqual(2500);
    await ask(of(1));
    expect(runs()).toBe(5);
    await ask(of(2));
    expect(runs()).toBe(6);
    await ask(of(6), false, { dtype: 'float32', dims: [1000], data: new Float32Array(1000) });
    expect(cache.bytes).toBeLessThanOrEqual(2500);
  });

  it('keeps copies, not the batch that an answer is a view of', async () => {
    const { cache } = makeCache(1e6);
    const batch = new Float32Array(1_000_000);
    const view: NdArray = { dtype: 'float32', dims: [1], data: batch.subarray(0, 1) };
    await cache.find(of(1), () => Promise.resolve({ y: view }), false);
    const kept = await cache.find(of(1), () => Promise.reject(new Error('ran again')), false);
    expect((kept['y']!.data as Float32Array).buffer.byteLength).toBe(4);
  });
});
