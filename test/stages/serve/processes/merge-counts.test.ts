import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createMetrics, type Metrics } from '../../../../src/stages/serve/metrics.js';
import { lasting, mergeCounts, printCounts } from '../../../../src/stages/serve/processes/merge-counts.js';

const nothing = { models: () => [], ready: true };

interface Deed {
  readonly status: number;
  readonly seconds: number;
  readonly rows: number;
  readonly version: string;
}

const deed = fc.record<Deed>({
  status: fc.constantFrom(200, 400, 503),
  // Halves: their sums are exact in any order.
  seconds: fc.integer({ min: 0, max: 40 }).map((halves) => halves / 2),
  rows: fc.integer({ min: 1, max: 2000 }),
  version: fc.constantFrom('1', '2'),
});

function perform(metrics: Metrics, { status, seconds, rows, version }: Deed): void {
  const model = { name: 'flowers', version };
  metrics.began();
  metrics.ran(model, rows, seconds);
  metrics.cacheUsed(model, 'hit');
  metrics.shadowed({ model: 'flowers', version, shadow: '3', result: 'same', difference: seconds });
  metrics.ended({ protocol: 'predict', status, model, seconds });
}

/** Lines that say what was done, not what the process takes. */
const linesOf = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('maas_'))
    .sort();

it('comes to what one process would have counted', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(2), deed), { maxLength: 30 }), async (deeds) => {
      const one = createMetrics(nothing);
      const several = [0, 1, 2].map(() => createMetrics(nothing));
      for (const [index, each] of deeds) {
        perform(one, each);
        perform(several[index]!, each);
      }
      const merged = mergeCounts(await Promise.all(several.map((metrics) => metrics.read())));
      expect(linesOf(await printCounts(merged))).toEqual(linesOf(await one.print()));
    }),
  );
});

it('keeps of a process that ended what only grows', async () => {
  const [gone, here] = [createMetrics(nothing), createMetrics(nothing)];
  const answered: Deed = { status: 200, seconds: 1, rows: 4, version: '1' };
  perform(gone, answered);
  gone.began();
  perform(here, answered);
  const text = await printCounts(mergeCounts([lasting(await gone.read()), await here.read()]));
  expect(text).toContain(
    'maas_requests_total{model="flowers",version="1",protocol="predict",status="200"} 2',
  );
  expect(text).toContain('maas_batch_rows_sum{model="flowers",version="1"} 8');
  expect(text).toContain('maas_requests_in_flight 0');
});

it('is ready where every process is, and serves what every process does', async () => {
  const model = {
    name: 'flowers',
    version: '2',
    depth: 1,
    size: 10,
    batching: true,
    projectName: 'garden',
    cached: 0,
  };
  const both = [
    { ...nothing, models: () => [model] },
    { ready: false, models: () => [] },
  ] as never[];
  const counts = await Promise.all(both.map((host) => createMetrics(host).read()));
  const text = await printCounts(mergeCounts(counts));
  expect(text).toContain('maas_ready 0');
  expect(text).not.toContain('maas_model_info{');
  expect(await printCounts(mergeCounts([counts[0]!, counts[0]!]))).toContain(
    'maas_queue_depth{model="flowers",version="2"} 2',
  );
});

it('counts a release that all went over to once', async () => {
  const several = [createMetrics(nothing), createMetrics(nothing)];
  for (const metrics of several) metrics.reloaded('done');
  const text = await printCounts(mergeCounts(await Promise.all(several.map((metrics) => metrics.read()))));
  expect(text).toContain('maas_reloads_total{result="done"} 1');
});
