import { expect, it } from 'vitest';
import { compareLatency, requestsOf } from '../../src/evaluate/index.js';
import { median, medianInterval } from '../../src/evaluate/latency.js';
import { encodeModel } from '../../src/ir/onnx/save.js';
import { classes, classifier, flowers, tableOf } from './models.js';

const table = tableOf({ features: flowers(3) }, classes([0, 1, 2]));

it('takes the middle of measurements', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});

it('knows how well a median is known', () => {
  expect(medianInterval([1])).toEqual({ low: 1, high: 1 });
  const { low, high } = medianInterval(Array.from({ length: 101 }, (_, at) => at));
  expect(low).toBeLessThan(50);
  expect(high - 50).toBe(50 - low);
  expect(high - low).toBeLessThan(30);
});

it('finds a model as fast as itself, and one with 256 times the work slower', async () => {
  const small = encodeModel(classifier(64));
  const large = encodeModel(classifier(1024));
  const [one, many] = await compareLatency(small, large, requestsOf(table), { rounds: 15 });
  expect([one!.batch, many!.batch]).toEqual([1, 64]);
  expect(many!.ratio).toBeGreaterThan(5);
  expect(many!.after).toBeGreaterThan(many!.before);
  const [same] = await compareLatency(small, small, requestsOf(table, [1]));
  expect(same!.ratio).toBeGreaterThan(0.5);
  expect(same!.ratio).toBeLessThan(2);
});

it('stops when it is told to', async () => {
  const model = encodeModel(classifier(16));
  const signal = AbortSignal.abort();
  await expect(compareLatency(model, model, requestsOf(table), { signal })).rejects.toThrow(/abort/);
});
