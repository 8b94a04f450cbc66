import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { testLoad, type LoadTest } from '../../../../src/stages/serve/load-test/index.js';
import { judgeLoad } from '../../../../src/stages/serve/load-test/judge.js';
import { Latencies } from '../../../../src/stages/serve/load-test/latencies.js';
import { makeRequests } from '../../../../src/stages/serve/load-test/make-requests.js';
import { flowers, makeShelf, type Shelf } from '../releases.js';
import { start, type Served } from '../start.js';

const inputs = [
  { name: 'ids', datatype: 'INT64', shape: [-1, -1] },
  { name: 'x', datatype: 'FP32', shape: [-1, 3] },
];
const model = { name: 'm', path: '/v2/models/m', inputs };
const options = { protocol: 'json', batch: 1, shapes: {} } as const;

function order(url: string, more: Partial<LoadTest> = {}): LoadTest {
  const { signal } = new AbortController();
  return {
    ...options,
    url: new URL(url),
    headers: {},
    concurrency: [],
    rates: [],
    connections: 16,
    seconds: 0.2,
    warmUp: 0,
    timeout: 5000,
    signal,
    ...more,
  };
}

const run = (url: string, more?: Partial<LoadTest>) => testLoad(order(url, more), () => undefined);

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

/** A server of the protocol whose answers to `infer` are `answer`'s. */
async function pretend(answer: RequestListener): Promise<string> {
  server = createServer((request, response) => {
    if (request.method === 'GET') response.end(JSON.stringify({ name: 'm', inputs }));
    else if (request.url === '/v2/repository/index') response.end(JSON.stringify([{ name: 'm' }]));
    else {
      request.resume();
      answer(request, response);
    }
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const address = server.address() as { port: number };
  return `http://127.0.0.1:${address.port}`;
}

describe('a load test', () => {
  it('charges a stalled server for all who would have waited', async () => {
    const begin = performance.now();
    // Answers at once, but for 200 ms in each half of a second.
    const url = await pretend((_, response) => {
      const phase = (performance.now() - begin) % 500;
      setTimeout(() => response.end('{}'), phase > 300 ? 500 - phase : 0);
    });
    const { results } = await run(url, { concurrency: [1], rates: [200], seconds: 0.5 });
    const [closed, open] = results;
    // One caller sees one slow answer; of those who come at times of their own, four in ten wait.
    expect(closed!.latency.p50).toBeLessThan(60);
    expect(open!.latency.p90).toBeGreaterThan(90);
    expect(open!.failed + closed!.failed).toBe(0);
    expect(open!.requests).toBeGreaterThan(60);
  });

  it('counts what fails, and tells why', async () => {
    let count = 0;
    const url = await pretend((_, response) => {
      count++;
      response.statusCode = count % 4 === 0 ? 503 : 200;
      response.end(count % 4 === 0 ? '{"error":"no room"}' : '{}');
    });
    const report = await run(url, { concurrency: [2] });
    const [{ failed, requests, firstFailure }] = report.results as [(typeof report.results)[0]];
    expect(failed).toBeGreaterThan(0);
    expect(failed / requests).toBeCloseTo(0.25, 1);
    expect(firstFailure).toBe('503 {"error":"no room"}');
    expect(() => {
      judgeLoad(report, {});
    }).toThrow(/^2 callers: \d+ of \d+ requests failed, the first with: 503 \{"error":"no room"\}$/);
  });

  it('waits no longer than it is told', async () => {
    const url = await pretend(() => undefined);
    await expect(run(url, { concurrency: [1], timeout: 200 })).rejects.toMatchObject({
      code: 'MAAS_SERVER',
      message: expect.stringContaining('cannot be asked') as string,
    });
  });

  it('keeps to its own time when more comes than a server takes', async () => {
    const url = await pretend((_, response) => setTimeout(() => response.end('{}'), 50));
    const begin = performance.now();
    const { results } = await run(url, { rates: [500], connections: 4, seconds: 0.2 });
    expect(results[0]!.throughput).toBeLessThan(100);
    expect(results[0]!.latency.max).toBeGreaterThan(300);
    expect(performance.now() - begin).toBeLessThan(20_000);
  });

  it('stops when it is asked to', async () => {
    const url = await pretend((_, response) => response.end('{}'));
    const stop = new AbortController();
    setTimeout(() => {
      stop.abort(new Error('enough'));
    }, 100);
    await expect(run(url, { concurrency: [2], seconds: 60, signal: stop.signal })).rejects.toThrow('enough');
  });

  it('tells of a server that is not there, and of models that are not clear', async () => {
    await expect(run('http://127.0.0.1:9')).rejects.toMatchObject({ code: 'MAAS_SERVER' });
    const url = await pretend((_, response) => response.end('[{"name": "a"}]'));
    await expect(run(`${url}/v2/models/m`, { model: 'n' })).rejects.toMatchObject({ code: 'MAAS_USAGE' });
  });

  it('judges by limits', () => {
    const latency = { mean: 2, p50: 1, p90: 2, p95: 3, p99: 12.3, p999: 20, max: 30 };
    const report = {
      model: 'm',
      results: [{ rate: 100, requests: 10, failed: 0, throughput: 80, latency }],
    };
    const judge = (maxP99?: number, minThroughput?: number) => () => {
      judgeLoad(report, { maxP99, minThroughput });
    };
    expect(judge(12.3, 80)).not.toThrow();
    expect(judge(12)).toThrow('100 requests a second: p99 is 12.30 ms, the limit 12 ms');
    expect(judge(undefined, 81)).toThrow('80.0 answers a second, the limit is 81');
  });
});

it('takes percentiles by nearest rank', () => {
  const latencies = new Latencies();
  for (let time = 10_000; time >= 1; time--) latencies.add(time);
  const { p50, p90, p99, p999, max, mean } = latencies.summarize();
  expect({ p50, p90, p99, p999, max, mean }).toEqual({
    p50: 5000,
    p90: 9000,
    p99: 9900,
    p999: 9990,
    max: 10_000,
    mean: 5000.5,
  });
});

describe('made-up requests', () => {
  it('differ, and hold the shapes that were asked for', () => {
    const requests = makeRequests(model, { ...options, batch: 2, shapes: { ids: [2, 5] } });
    const [first, second] = requests.map(
      ({ body }) => JSON.parse(body as string) as { inputs: { shape: number[]; data: number[] }[] },
    );
    expect(first!.inputs.map(({ shape }) => shape)).toEqual([
      [2, 5],
      [2, 3],
    ]);
    expect(first!.inputs.map(({ data }) => data.length)).toEqual([10, 6]);
    expect(first).not.toEqual(second);
  });

  it('refuse shapes that do not fit', () => {
    const make = (more: object) => () => makeRequests(model, { ...options, ...more });
    expect(make({ shapes: { idz: [1] } })).toThrow('--shape names idz, which m does not take');
    expect(make({ shapes: { x: [1, 4] } })).toThrow('--shape x:1,4 does not fit: the model takes [-1, 3]');
    const fixed = { ...model, inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 3] }] };
    expect(() => makeRequests(fixed, { ...options, batch: 2 })).toThrow('its first axis is not open');
    const odd = { ...model, inputs: [{ name: 'x', datatype: 'COMPLEX64', shape: [1] }] };
    expect(() => makeRequests(odd, options)).toThrow('values cannot be made up');
  });
});

describe('against maas serve', () => {
  let shelf: Shelf;
  let served: Served;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'maas-load-'));
    shelf = await makeShelf();
    served = await start(await shelf.add(flowers()));
  });
  afterAll(async () => {
    await served.stop();
    await shelf.remove();
    await rm(folder, { recursive: true });
  });

  it.each(['json', 'binary'] as const)('asks by %s, texts too', async (protocol) => {
    const { model, results } = await run(served.url, {
      protocol,
      batch: 3,
      concurrency: [2],
      rates: [100],
      seconds: 0.4,
    });
    expect(model).toBe('flowers');
    expect(results.map(({ failed }) => failed)).toEqual([0, 0]);
    expect(results.every(({ requests }) => requests > 2)).toBe(true);
  });

  it('sends bodies of one’s own', async () => {
    const requestsFile = join(folder, 'rows.jsonl');
    await writeFile(requestsFile, '{"height": 0.1, "width": 0.2, "colour": "red"}\n\n');
    const { results } = await run(`${served.url}/predict`, { requestsFile, concurrency: [2] });
    expect(results[0]).toMatchObject({ failed: 0 });
    await writeFile(requestsFile, '{"height": "tall"}\n');
    await expect(run(`${served.url}/predict`, { requestsFile, concurrency: [1] })).rejects.toMatchObject({
      code: 'MAAS_SERVER',
      message: expect.stringContaining('answers 400') as string,
    });
    await writeFile(requestsFile, '{}\n{"height"\n');
    await expect(run(`${served.url}/predict`, { requestsFile })).rejects.toMatchObject({
      code: 'MAAS_DATA_SYNTAX',
      place: { file: requestsFile, line: 2 },
    });
  });
});
