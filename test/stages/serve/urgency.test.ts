import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  openInferenceProtocol,
  predictProtocol,
  tfServingProtocol,
} from '../../../src/stages/serve/index.js';
import { Batcher, type Outputs } from '../../../src/stages/serve/batcher.js';
import type { Urgency } from '../../../src/plugin/api.js';
import { chooseBatchSize } from '../../../src/stages/serve/placement.js';
import { readUrgency } from '../../../src/stages/serve/urgency.js';
import { flowers, makeShelf, type Shelf } from './releases.js';
import { post, start, type Served } from './start.js';

/** A batcher whose runs end when they are let go, and what went into each. */
function makeBatcher(options: { maxDelay?: number; maxBatchSize?: number } = {}) {
  const runs: number[][] = [];
  const goes: (() => void)[] = [];
  let held = true;
  const batcher = new Batcher({
    run: async (feeds) => {
      runs.push([...(feeds['x']!.data as Float32Array)]);
      if (held) await new Promise<void>((resolve) => goes.push(resolve));
      return { y: feeds['x']! };
    },
    rows: 'share',
    maxBatchSize: 1,
    maxQueue: 100,
    ...options,
  });
  const submit = (value: number, urgency?: Urgency): Promise<Outputs> => {
    const x = { dtype: 'float32' as const, dims: [1], data: Float32Array.of(value) };
    return batcher.submit({ feeds: { x }, rows: 1, shapeKey: '' }, urgency);
  };
  return {
    batcher,
    runs,
    submit,
    letGo: () => {
      held = false;
      for (const go of goes) go();
    },
  };
}

const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

describe('a batcher', () => {
  it('runs what is more urgent first, and in order among equals', async () => {
    const { submit, runs, letGo } = makeBatcher();
    const first = submit(0);
    await sleep(5);
    const others = [
      submit(1),
      submit(2, { priority: 9 }),
      submit(3, { priority: 1 }),
      submit(4, { priority: 1 }),
      submit(5, { priority: 5 }),
    ];
    letGo();
    await Promise.all([first, ...others]);
    expect(runs.flat()).toEqual([0, 3, 4, 1, 5, 2]);
  });

  it('refuses what waited for too long, at once, and never runs it', async () => {
    const { submit, runs, letGo, batcher } = makeBatcher();
    const first = submit(0);
    await sleep(5);
    const asked = performance.now();
    const late = submit(1, { deadline: asked + 20 });
    const inTime = submit(2, { deadline: asked + 60_000 });
    await expect(late).rejects.toMatchObject({ status: 504 });
    expect(performance.now() - asked).toBeLessThan(1000);
    expect(batcher.depth).toBe(1);
    await expect(submit(3, { deadline: performance.now() - 1 })).rejects.toMatchObject({ status: 504 });
    letGo();
    await Promise.all([first, inTime]);
    expect(runs.flat()).toEqual([0, 2]);
  });

  it('waits for company when it is told to, until the run is full or the time is over', async () => {
    const { submit, runs, letGo } = makeBatcher({ maxDelay: 3000, maxBatchSize: 3 });
    letGo();
    const start = performance.now();
    const full = [submit(1)];
    await sleep(20);
    full.push(submit(2), submit(3));
    await Promise.all(full);
    expect(performance.now() - start).toBeLessThan(2500);
    expect(runs).toEqual([[1, 2, 3]]);
    const { submit: submitAlone, letGo: letGoAlone } = makeBatcher({ maxDelay: 100, maxBatchSize: 3 });
    letGoAlone();
    const alone = performance.now();
    await submitAlone(4);
    expect(performance.now() - alone).toBeGreaterThan(90);
    const leaving = performance.now();
    await expect(submit(5, { deadline: leaving + 30 })).rejects.toMatchObject({ status: 504 });
  });

  it('gives up waiting for company when it is closed', async () => {
    const { submit, batcher } = makeBatcher({ maxDelay: 60_000, maxBatchSize: 8 });
    const waiting = submit(1);
    waiting.catch(() => undefined);
    await sleep(5);
    await batcher.close();
    await expect(waiting).rejects.toMatchObject({ status: 503 });
  });
});

describe('the batch size', () => {
  it('is the fewest rows that are about as fast as any', async () => {
    const row = { x: { dtype: 'float32' as const, dims: [1], data: Float32Array.of(1) } };
    // A millisecond for a run, and 0.02 for each row beyond 32.
    let clock = 0;
    const run = (feeds: { x?: { dims: readonly number[] } }): Promise<void> => {
      clock += 1 + Math.max(0, feeds.x!.dims[0]! - 32) / 32;
      return Promise.resolve();
    };
    expect(await chooseBatchSize(run, row, () => clock)).toBe(32);
  });
});

describe('the urgency of a request', () => {
  it('is in its headers or parameters, by the units of each', () => {
    const left = ({ deadline }: Urgency): number => deadline! - performance.now();
    expect(readUrgency({})).toEqual({});
    expect(readUrgency({ 'x-request-timeout-ms': '0', 'x-request-priority': '0' })).toEqual({});
    expect(left(readUrgency({ 'x-request-timeout-ms': '1500' }))).toBeGreaterThan(1000);
    expect(left(readUrgency({}, { timeout: 1500n }))).toBeLessThan(1.5);
    expect(readUrgency({ 'x-request-priority': '3' }, { priority: 1 })).toEqual({ priority: 1 });
    for (const bad of ['-1', 'soon', '', '1e99', 'NaN']) {
      expect(() => readUrgency({ 'x-request-timeout-ms': bad })).toThrow('X-Request-Timeout-Ms');
    }
    for (const bad of [11, 0.5, null, [], true]) {
      expect(() => readUrgency({}, { priority: bad })).toThrow('priority');
    }
  });
});

describe('over HTTP', () => {
  let shelf: Shelf;
  let release: string;
  let served: Served | undefined;
  beforeAll(async () => {
    shelf = await makeShelf();
    release = await shelf.add(flowers());
  });
  afterAll(async () => {
    await served?.stop();
    await shelf.remove();
  });
  const row = { height: 1, width: 2, colour: 'red' };
  const columns = { features: [[1, 2]], colour: [['red']] };

  it('a request that cannot be run in time gets 504, in every protocol', async () => {
    served = await start(release, {
      protocols: [predictProtocol, openInferenceProtocol, tfServingProtocol],
      options: { maxBatchSize: 'auto' },
    });
    const late = { 'x-request-timeout-ms': '0.0001' };
    const infer = (parameters: object): Promise<Response> =>
      served!.post('/v2/models/flowers/infer', {
        parameters,
        inputs: [
          { name: 'features', datatype: 'FP32', shape: [1, 2], data: [1, 2] },
          { name: 'colour', datatype: 'BYTES', shape: [1, 1], data: ['red'] },
        ],
      });
    expect((await post(`${served.url}/predict`, row, late)).status).toBe(504);
    expect((await post(`${served.url}/v1/models/flowers:predict`, { inputs: columns }, late)).status).toBe(
      504,
    );
    expect((await infer({ timeout: 0.001 })).status).toBe(504);
    expect((await infer({ timeout: 60e6, priority: 1 })).status).toBe(200);
    expect((await infer({ priority: 'high' })).status).toBe(400);
    expect((await post(`${served.url}/predict`, row, { 'x-request-timeout-ms': '60000' })).status).toBe(200);
    const note = served.events.find(({ event }) => event === 'note');
    expect(note).toMatchObject({ text: expect.stringMatching(/own thread, up to \d+ rows a run/) as string });
    await served.stop();
  });

  it('one that does not say waits for as long as the server is told', async () => {
    served = await start(release, { options: { queueTimeout: 1e-7 } });
    expect((await served.post('/predict', row)).status).toBe(504);
    expect((await post(`${served.url}/predict`, row, { 'x-request-timeout-ms': '60000' })).status).toBe(200);
    await served.stop();
  });

  it('equal requests are answered from what is kept', async () => {
    served = await start(release, { options: { cache: { maxBytes: 100_000 } } });
    const first = await (await served.post('/predict', row)).text();
    for (let count = 0; count < 3; count++) {
      expect(await (await served.post('/predict', row)).text()).toBe(first);
    }
    expect(await (await served.post('/predict', { ...row, width: -2 })).text()).not.toBe(first);
    const text = await (await served.get('/metrics')).text();
    expect(text).toMatch(/^maas_cache_requests_total\{[^}]*result="hit"\} 3$/m);
    expect(text).toMatch(/^maas_cache_requests_total\{[^}]*result="miss"\} 2$/m);
    expect(text).toMatch(/^maas_batch_rows_sum\{[^}]*\} 2$/m);
    await served.stop();
  });
});
