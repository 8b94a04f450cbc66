import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SpanExporter } from '../../../../src/stages/serve/trace/exporter.js';
import { isDrawn, newTraceId, readTraceParent } from '../../../../src/stages/serve/trace/span.js';
import { flowers, makeShelf, type Shelf } from '../releases.js';
import { post, start, type Served } from '../start.js';
import { attributesOf, startReceiver, type Receiver } from './receiver.js';

const row = { height: 1, width: 2, colour: 'red' };
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';

let shelf: Shelf;
let release: string;
let receiver: Receiver;
beforeAll(async () => {
  shelf = await makeShelf();
  release = await shelf.add(flowers());
});
afterAll(() => shelf.remove());
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(() => receiver.stop());

const serve = (rate = 1, more = {}): Promise<Served> =>
  start(release, {
    options: { tracing: { endpoint: receiver.endpoint, rate, service: 'flowers-server' }, ...more },
  });

describe('serve.tracing', () => {
  it("sends a span for the request, in its caller's trace, and below it those of the wait and the run", async () => {
    const served = await serve();
    const before = BigInt(Date.now()) * 1_000_000n;
    const answer = await post(`${served.url}/predict`, row, { traceparent: `00-${traceId}-${parentId}-01` });
    expect(answer.status).toBe(200);
    for (const path of ['/v2/health/ready', '/metrics']) await served.get(path);
    await served.stop();
    const spans = receiver.spans();
    expect(spans.map(({ name }) => name).sort()).toEqual(['POST predict', 'queue', 'run']);
    const [request, queue, run] = ['POST predict', 'queue', 'run'].map((name) =>
      spans.find((span) => span.name === name),
    );
    expect(request).toMatchObject({ traceId, parentSpanId: parentId, kind: 2, status: {} });
    expect(attributesOf(request!)).toMatchObject({
      'http.request.method': 'POST',
      'url.path': '/predict',
      'http.response.status_code': '200',
      'maas.protocol': 'predict',
      'maas.model.name': 'flowers',
    });
    expect(attributesOf(run!)).toMatchObject({ 'maas.batch.rows': '1', 'maas.model.name': 'flowers' });
    for (const child of [queue!, run!]) {
      expect(child).toMatchObject({ traceId, parentSpanId: request!.spanId, kind: 1 });
    }
    const times = [request!.startTimeUnixNano, queue!.startTimeUnixNano, queue!.endTimeUnixNano].map(BigInt);
    const ends = [run!.startTimeUnixNano, run!.endTimeUnixNano, request!.endTimeUnixNano].map(BigInt);
    const all = [...times, ...ends];
    expect(all.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))).toEqual(all);
    expect(all[0]! > before - 2_000_000_000n && all[0]! < before + 60_000_000_000n).toBe(true);
    expect(receiver.bodies[0]).toContain('{"key":"service.name","value":{"stringValue":"flowers-server"}}');
    expect(receiver.headers[0]).toMatchObject({ 'content-type': 'application/json' });
  });

  it('begins a trace of its own for a share of the others, and leaves those alone that say so', async () => {
    const served = await serve(0);
    await post(`${served.url}/predict`, row);
    await post(`${served.url}/predict`, row, { traceparent: `00-${traceId}-${parentId}-00` });
    await served.stop();
    expect(receiver.bodies).toEqual([]);
    const other = await serve(1);
    await post(`${other.url}/predict`, row, { traceparent: 'nonsense' });
    await other.stop();
    const request = receiver.spans().find(({ name }) => name === 'POST predict')!;
    expect(request.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(request.parentSpanId).toBeUndefined();
  });

  it('tells the errors of the server from those of callers', async () => {
    const served = await serve();
    await post(`${served.url}/predict`, { height: 1 });
    await served.stop();
    const [span] = receiver.spans();
    expect(attributesOf(span!)).toMatchObject({ 'http.response.status_code': '400' });
    expect(span!.status).toEqual({});
  });

  it('answers when there is no collector, and warns once', async () => {
    await receiver.stop();
    const served = await serve();
    for (let count = 0; count < 3; count++) {
      expect((await post(`${served.url}/predict`, row)).status).toBe(200);
    }
    await served.stop();
    const warnings = served.events.filter(({ event }) => event === 'warning');
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatchObject({ text: expect.stringContaining('cannot be reached') as string });
  });
});

describe('the exporter', () => {
  const span = {
    traceId,
    spanId: parentId,
    parentId: undefined,
    name: 'x',
    kind: 'internal',
    start: 0,
    end: 1,
    attributes: {},
  } as const;

  it('tries again when the collector is busy, and not when it refuses', async () => {
    const dropped: [number, string][] = [];
    const exporter = new SpanExporter({
      endpoint: receiver.endpoint,
      headers: { 'x-key': 'secret' },
      resource: {},
      version: '1',
      interval: 1,
      onDropped: (spans, reason) => dropped.push([spans, reason]),
    });
    receiver.statuses.push(503);
    exporter.add(span);
    await expect.poll(() => receiver.bodies.length, { timeout: 3000 }).toBe(1);
    expect(receiver.headers[0]).toMatchObject({ 'x-key': 'secret' });
    receiver.statuses.push(400);
    exporter.add(span);
    await expect.poll(() => dropped.length).toBe(1);
    expect(dropped[0]).toEqual([1, expect.stringContaining('answers 400')]);
    await exporter.close();
  });

  it('sends what came while it was sending', async () => {
    const exporter = new SpanExporter({
      endpoint: receiver.endpoint,
      headers: {},
      resource: {},
      version: '1',
      interval: 1,
      onDropped: () => undefined,
    });
    receiver.statuses.push(503);
    exporter.add(span);
    await expect.poll(() => receiver.headers.length).toBe(1);
    // The first is tried again 50 ms later.
    exporter.add(span);
    await expect.poll(() => receiver.bodies.length).toBe(2);
    await exporter.close();
  });

  it('holds no more than it may', () => {
    let dropped = 0;
    const exporter = new SpanExporter({
      endpoint: 'http://127.0.0.1:9/v1/traces',
      headers: {},
      resource: {},
      version: '1',
      onDropped: (spans) => (dropped += spans),
    });
    for (let count = 0; count < 5000; count++) exporter.add(span);
    expect(dropped).toBeGreaterThan(2000);
  });
});

describe('traceparent', () => {
  it.each([
    [`00-${traceId}-${parentId}-01`, true],
    [`00-${traceId}-${parentId}-00`, false],
    [`cc-${traceId}-${parentId}-01-what-the-future-brings`, true],
  ])('reads %s', (header, sampled) => {
    expect(readTraceParent(header)).toEqual({ traceId, spanId: parentId, sampled });
  });

  it.each([
    `00-${traceId}-${parentId}-01-more`,
    `ff-${traceId}-${parentId}-01`,
    `00-${'0'.repeat(32)}-${parentId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${parentId}-01`,
    `00-${traceId}-${parentId}`,
    '',
  ])('takes %j for none', (header) => {
    expect(readTraceParent(header)).toBeUndefined();
  });

  it('draws a share of the traces', () => {
    const ids = Array.from({ length: 4000 }, newTraceId);
    const share = ids.filter((id) => isDrawn(id, 0.25)).length / ids.length;
    expect(share).toBeGreaterThan(0.2);
    expect(share).toBeLessThan(0.3);
    expect(ids.every((id) => isDrawn(id, 1)) && !ids.some((id) => isDrawn(id, 0))).toBe(true);
  });
});
