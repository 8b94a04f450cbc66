import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openSession } from '../../../src/runtime/session.js';
import type { NdArray } from '../../../src/ir/tensor.js';
import type { Feeds } from '../../../src/runtime/session.js';
import { Batcher, type Outputs } from '../../../src/stages/serve/batcher.js';
import { checkInputs } from '../../../src/stages/serve/check-inputs.js';
import { RequestError } from '../../../src/stages/serve/request-error.js';
import { colours, flowers, lookup, type Sample } from './releases.js';

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function flowerRows(rows: readonly (readonly [number, number, number])[]): Feeds {
  return {
    features: {
      dtype: 'float32',
      dims: [rows.length, 2],
      data: Float32Array.from(rows.flatMap(([a, b]) => [a, b])),
    },
    colour: { dtype: 'string', dims: [rows.length, 1], data: rows.map(([, , c]) => colours[c]!) },
  };
}

async function withBatcher<T>(
  { model, signature }: Sample,
  options: { maxBatchSize: number; maxQueue?: number },
  use: (
    submit: (feeds: Feeds) => Promise<Outputs>,
    direct: (feeds: Feeds) => Promise<Outputs>,
    runs: number[],
  ) => Promise<T>,
): Promise<T> {
  const session = await openSession(model);
  const runs: number[] = [];
  const batcher = new Batcher({
    run: (feeds) => session.run(feeds),
    rows: 'share',
    maxQueue: 1000,
    ...options,
    onRun: (rows) => runs.push(rows),
  });
  try {
    return await use(
      (feeds) => batcher.submit(checkInputs(signature, feeds)),
      (feeds) => session.run(feeds),
      runs,
    );
  } finally {
    await batcher.close();
    await session.close();
  }
}

function expectSame(got: Outputs, expected: Outputs): void {
  expect(Object.keys(got).sort()).toEqual(Object.keys(expected).sort());
  for (const [name, { dims, data }] of Object.entries(expected)) {
    expect(got[name]!.dims).toEqual(dims);
    for (let index = 0; index < data.length; index++) {
      const [a, b] = [got[name]!.data[index]!, data[index]!];
      if (typeof b === 'number') expect(Math.abs((a as number) - b)).toBeLessThanOrEqual(1e-6);
      else expect(a).toBe(b);
    }
  }
}

describe('Batcher', () => {
  it('gives every caller what an unbatched run gives, for any interleaving', async () => {
    await withBatcher(flowers(), { maxBatchSize: 8 }, async (submit, direct, runs) => {
      const value = fc.float({ min: -10, max: 10, noNaN: true });
      const request = fc.record({
        rows: fc.array(fc.tuple(value, value, fc.nat(2)), { maxLength: 5 }),
        wait: fc.nat(3),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(request, { maxLength: 24 }), async (requests) => {
          const answers: Promise<Outputs>[] = [];
          for (const { rows, wait } of requests) {
            for (let turn = 0; turn < wait; turn++) await tick();
            answers.push(submit(flowerRows(rows)));
          }
          for (const [index, { rows }] of requests.entries()) {
            expectSame(await answers[index]!, await direct(flowerRows(rows)));
          }
        }),
        { numRuns: 40, seed: 7 },
      );
      expect(Math.max(...runs)).toBeGreaterThan(1);
      expect(Math.max(...runs)).toBeLessThanOrEqual(8);
    });
  });

  it('runs what waits together, in order, up to maxBatchSize', async () => {
    await withBatcher(flowers(), { maxBatchSize: 4 }, async (submit, _direct, runs) => {
      const three: [number, number, number][] = [
        [1, 2, 0],
        [3, 4, 1],
        [5, 6, 2],
      ];
      const sizes = [1, 2, 1, 2, 3, 1];
      await Promise.all(sizes.map((size) => submit(flowerRows(three.slice(0, size)))));
      expect(runs).toEqual([4, 2, 4]);
    });
  });

  it('runs a request with more rows than maxBatchSize alone', async () => {
    await withBatcher(flowers(), { maxBatchSize: 2 }, async (submit, direct, runs) => {
      const many = flowerRows(Array.from({ length: 5 }, (_, index) => [index, -index, index % 3] as const));
      const [first, second] = await Promise.all([submit(many), submit(flowerRows([[1, 1, 1]]))]);
      expect(runs).toEqual([5, 1]);
      expectSame(first, await direct(many));
      expectSame(second, await direct(flowerRows([[1, 1, 1]])));
    });
  });

  it('fails only the request that is at fault', async () => {
    const index = (value: bigint): Feeds => ({
      index: { dtype: 'int64', dims: [1], data: BigInt64Array.of(value) },
    });
    await withBatcher(lookup(), { maxBatchSize: 8 }, async (submit) => {
      const values = [0n, 1n, 99n, 2n];
      const results = await Promise.allSettled(values.map((value) => submit(index(value))));
      expect(results.map(({ status }) => status)).toEqual([
        'fulfilled',
        'fulfilled',
        'rejected',
        'fulfilled',
      ]);
      const answers = results.map((result) =>
        result.status === 'fulfilled' ? result.value['prediction']!.data[0] : undefined,
      );
      expect(answers).toEqual([10, 20, undefined, 30]);
    });
  });

  it('keeps requests of different inner sizes apart', async () => {
    const shapes: string[] = [];
    const batcher = new Batcher({
      run: (feeds) => {
        shapes.push(feeds['x']!.dims.join('x'));
        return Promise.resolve({ y: feeds['x']! });
      },
      rows: 'share',
      maxBatchSize: 8,
      maxQueue: 10,
    });
    const request = (width: number): Promise<Outputs> => {
      const x: NdArray = { dtype: 'float32', dims: [1, width], data: new Float32Array(width).fill(width) };
      return batcher.submit({ feeds: { x }, rows: 1, shapeKey: `${width},` });
    };
    const answers = await Promise.all([request(2), request(3), request(2), request(3)]);
    expect(shapes).toEqual(['2x2', '2x3']);
    expect(answers.map(({ y }) => [...(y!.data as Float32Array)])).toEqual([
      [2, 2],
      [3, 3, 3],
      [2, 2],
      [3, 3, 3],
    ]);
  });

  it('stops batching for good when a model loses rows', async () => {
    const runs: number[] = [];
    const batcher = new Batcher({
      run: (feeds) => {
        runs.push(feeds['x']!.dims[0]!);
        return Promise.resolve({
          y: { ...feeds['x']!, dims: [1], data: feeds['x']!.data.slice(0, 1) },
        });
      },
      rows: 'share',
      maxBatchSize: 8,
      maxQueue: 10,
    });
    const request = (value: number): Promise<Outputs> => {
      const x: NdArray = { dtype: 'float32', dims: [1], data: Float32Array.of(value) };
      return batcher.submit({ feeds: { x }, rows: 1, shapeKey: '' });
    };
    const firsts = async (values: number[]): Promise<unknown[]> =>
      (await Promise.all(values.map(request))).map(({ y }) => y!.data[0]);
    expect(await firsts([1, 2, 3])).toEqual([1, 2, 3]);
    expect(await firsts([4, 5])).toEqual([4, 5]);
    expect(runs).toEqual([3, 1, 1, 1, 1, 1]);
  });

  it('runs row by row where rows must be alone, and joins what belongs to one request', async () => {
    const runs: number[][] = [];
    const batcher = new Batcher({
      run: (feeds) => {
        runs.push([...(feeds['x']!.data as Float32Array)]);
        return Promise.resolve({ y: feeds['x']! });
      },
      rows: 'alone',
      maxBatchSize: 8,
      maxQueue: 10,
    });
    const request = async (...values: number[]): Promise<Outputs> => {
      const x: NdArray = { dtype: 'float32', dims: [values.length], data: Float32Array.from(values) };
      return batcher.submit({ feeds: { x }, rows: values.length, shapeKey: '' });
    };
    const [several, none, one] = await Promise.all([request(1, 2, 3), request(), request(4)]);
    expect(runs).toEqual([[1], [2], [3], [], [4]]);
    expect(several['y']).toEqual({ dtype: 'float32', dims: [3], data: Float32Array.of(1, 2, 3) });
    expect(none['y']!.dims).toEqual([0]);
    expect(one['y']!.dims).toEqual([1]);
  });

  it('refuses what it has no room for, and everything once it is closed', async () => {
    let release: (() => void) | undefined;
    const blocked = new Promise<void>((resolve) => (release = resolve));
    const batcher = new Batcher({
      run: async (feeds) => {
        await blocked;
        return { y: feeds['x']! };
      },
      rows: 'as-given',
      maxBatchSize: 1,
      maxQueue: 2,
    });
    const x: NdArray = { dtype: 'float32', dims: [1], data: Float32Array.of(1) };
    const submit = (): Promise<Outputs> => batcher.submit({ feeds: { x }, rows: 1, shapeKey: '' });
    const running = submit();
    await tick();
    await tick();
    const waiting = [submit(), submit()];
    expect(batcher.depth).toBe(2);
    const refused = await submit().catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RequestError);
    expect((refused as RequestError).status).toBe(503);
    expect((refused as RequestError).headers).toEqual({ 'retry-after': '1' });
    const closed = batcher.close();
    const outcomes = Promise.allSettled(waiting);
    release?.();
    await closed;
    await expect(running).resolves.toHaveProperty('y');
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(submit()).rejects.toThrow('being unloaded');
  });
});
