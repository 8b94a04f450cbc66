import { expect, it } from 'vitest';
import type { NdArray } from '../../../../src/ir/tensor.js';
import type { Feeds } from '../../../../src/runtime/session.js';
import { PaddedRuns } from '../../../../src/stages/serve/padding/padded-runs.js';
import { Padder } from '../../../../src/stages/serve/padding/padder.js';
import { planPadding } from '../../../../src/stages/serve/padding/plan.js';

const port = { dtype: 'float32', shape: ['N', 'S'] } as const;
const plan = planPadding(
  { inputs: [{ name: 'x', ...port }], outputs: [{ name: 'y', ...port }] },
  { S: { value: 0, buckets: 'auto' } },
);

const request = (...values: number[]): Feeds & Record<'x', NdArray> => ({
  x: { dtype: 'float32', dims: [1, values.length], data: Float32Array.from(values) },
});

it('holds the first padded runs against what each gives alone, and then one in a thousand', async () => {
  const refusals: string[] = [];
  const onRefused = (reason: string): void => void refusals.push(reason);
  const padded = new PaddedRuns(new Padder(plan), { tolerance: 1e-4, count: () => undefined, onRefused });
  let [runs, wrong] = [0, false];
  const run = ({ x }: Feeds): Promise<Record<string, NdArray>> => {
    runs++;
    const { dims, data } = x!;
    const values = (data as Float32Array).map((value) => (wrong && dims[0] === 2 ? value + 1 : value));
    return Promise.resolve({ y: { dtype: 'float32', dims, data: values } });
  };
  const ask = async (): Promise<unknown> =>
    (await padded.runTogether([request(1), request(2, 3)], [1, 1], run))?.map(({ y }) => [...y!.data]);
  for (let turn = 0; turn < 2000; turn++) expect(await ask()).toEqual([[1], [2, 3]]);
  expect(runs).toBe(2000 + 2 * (8 + 1));
  wrong = true;
  expect(await ask()).toEqual([[1], [2, 3]]);
  expect(refusals).toEqual(['padding changes an answer (y[0] is 2 and not 1)']);
  runs = 0;
  expect(await ask()).toEqual([[1], [2, 3]]);
  expect(runs).toBe(2);
});

it('is over with outputs that are not as long as their run', async () => {
  const refusals: string[] = [];
  const onRefused = (reason: string): void => void refusals.push(reason);
  const padded = new PaddedRuns(new Padder(plan), { tolerance: 1e-4, count: () => undefined, onRefused });
  const first = ({ x }: Feeds): Promise<Record<string, NdArray>> => {
    const rows = x!.dims[0]!;
    return Promise.resolve({
      y: { dtype: 'float32', dims: [rows, 1], data: new Float32Array(rows).fill(7) },
    });
  };
  const answers = await padded.runTogether([request(1), request(2, 3)], [1, 1], first);
  expect(answers?.map(({ y }) => y!.dims)).toEqual([
    [1, 1],
    [1, 1],
  ]);
  expect(refusals).toEqual(['its answer to a padded run has another shape']);
});
