import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HttpRequest, Protocol, ServedModel, ServeHost } from '../../src/plugin/api.js';
import { createAnswerer, type Answerer } from '../../src/stages/serve/answer.js';
import { openInferenceProtocol, predictProtocol, tfServingProtocol } from '../../src/stages/serve/index.js';
import { loadModel, type LoadedModel } from '../../src/stages/serve/loaded-model.js';
import { createMetrics } from '../../src/stages/serve/metrics.js';
import { ModelHost } from '../../src/stages/serve/model-host.js';
import { colours, flowers, makeShelf, type Shelf } from '../stages/serve/releases.js';

type Row = readonly [height: number, width: number, colour: string];

/** What the suite needs to know of a protocol: how its inference requests are written and its answers read. */
interface Dialect {
  readonly protocol: Protocol;
  readonly request: (
    model: ServedModel,
    rows: readonly Row[],
  ) => Pick<HttpRequest, 'method' | 'path' | 'headers' | 'body'>;
  readonly labels: (body: unknown) => readonly string[];
  /** Bodies that are wrong in this protocol's own way. */
  readonly wrong: readonly string[];
}

const json = { 'content-type': 'application/json' };
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

// A new protocol joins here.
const dialects: readonly Dialect[] = [
  {
    protocol: predictProtocol,
    request: (_model, rows) => ({
      method: 'POST',
      path: '/predict',
      headers: json,
      body: bytes(rows.map(([height, width, colour]) => ({ height, width, colour }))),
    }),
    labels: (body) => (body as { label: string }[]).map(({ label }) => label),
    wrong: ['{"height":1}', '[{"height":"1","width":2,"colour":"red"}]', '7'],
  },
  {
    protocol: openInferenceProtocol,
    request: (model, rows) => ({
      method: 'POST',
      path: `/v2/models/${model.name}/infer`,
      headers: json,
      body: bytes({
        inputs: [
          {
            name: 'features',
            datatype: 'FP32',
            shape: [rows.length, 2],
            data: rows.flatMap(([height, width]) => [height, width]),
          },
          {
            name: 'colour',
            datatype: 'BYTES',
            shape: [rows.length, 1],
            data: rows.map(([, , colour]) => colour),
          },
        ],
      }),
    }),
    labels: (body) =>
      (body as { outputs: { name: string; data: string[] }[] }).outputs.find(({ name }) => name === 'label')!
        .data,
    wrong: ['{}', '{"inputs":[{"name":"features","datatype":"FP32","shape":[9,9],"data":[]}]}', '7'],
  },
  {
    protocol: tfServingProtocol,
    request: (model, rows) => ({
      method: 'POST',
      path: `/v1/models/${model.name}:predict`,
      headers: json,
      body: bytes({
        instances: rows.map(([height, width, colour]) => ({ features: [height, width], colour: [colour] })),
      }),
    }),
    labels: (body) => (body as { predictions: { label: string }[] }).predictions.map(({ label }) => label),
    wrong: ['{}', '{"instances":[{"features":[1]}]}', '7'],
  },
];

let shelf: Shelf;
let models: ModelHost;
let model: LoadedModel;
beforeAll(async () => {
  shelf = await makeShelf();
  model = await loadModel(await shelf.add(flowers()), { threads: 1, maxBatchSize: 16, maxQueue: 100 });
  models = new ModelHost({ warn: () => undefined });
  models.replace(model);
});
afterAll(async () => {
  await models.close();
  await shelf.remove();
});

const rows: readonly Row[] = Array.from({ length: 24 }, (_, index) => [
  Math.sin(index) * 4,
  Math.cos(3 * index) * 4,
  colours[index % 3]!,
]);

async function direct(row: Row): Promise<string> {
  const outputs = await model.predict({
    features: { dtype: 'float32', dims: [1, 2], data: Float32Array.of(row[0], row[1]) },
    colour: { dtype: 'string', dims: [1, 1], data: [row[2]] },
  });
  return outputs['label']!.data[0] as string;
}

function answererOf(protocol: Protocol, host: ModelHost = models): { answerer: Answerer; bugs: unknown[] } {
  const bugs: unknown[] = [];
  const answerer = createAnswerer({
    models: host,
    protocols: [protocol],
    metrics: createMetrics(host),
    onBug: (error) => bugs.push(error),
  });
  return { answerer, bugs };
}

describe.each(dialects)('protocol $protocol.name', ({ protocol, request, labels, wrong }) => {
  const complete = (parts: Partial<HttpRequest>): HttpRequest => ({
    ...request(model, rows.slice(0, 1)),
    query: new URLSearchParams(),
    ...parts,
  });
  const isError = (body: string | Uint8Array): void => {
    const { error } = JSON.parse(String(body)) as { error: unknown };
    expect(typeof error).toBe('string');
    expect(error).not.toBe('');
  };

  it('has a name and a summary', () => {
    expect(protocol.name).toMatch(/^[a-z][a-z0-9-]*$/);
    expect(protocol.summary).not.toBe('');
  });

  it.each(['/', '/metrics', '/no/such/path', '/predictions', '/v2models', ''])('leaves %j alone', (path) => {
    const lease = models.lease();
    const host: ServeHost = lease.host;
    expect(protocol.handle(complete({ path }), host)).toBeUndefined();
    lease.end();
  });

  it('answers rows in their order, and names the model for the metrics', async () => {
    const { answerer, bugs } = answererOf(protocol);
    const answer = await answerer.answer(complete(request(model, rows)));
    expect(answer.status).toBe(200);
    expect(answer.headers?.['content-type']).toBe('application/json');
    expect(answer.model).toMatchObject({ name: 'flowers', version: model.version });
    expect(labels(JSON.parse(String(answer.body)))).toEqual(await Promise.all(rows.map(direct)));
    expect(bugs).toEqual([]);
  });

  it('gives each of many callers at once its own answer', async () => {
    const { answerer } = answererOf(protocol);
    const answers = await Promise.all(rows.map((row) => answerer.answer(complete(request(model, [row])))));
    const got = answers.map(({ body }) => labels(JSON.parse(String(body))));
    expect(got).toEqual(await Promise.all(rows.map(async (row) => [await direct(row)])));
    expect(new Set(got.flat()).size).toBeGreaterThan(1);
  });

  it.each(wrong)('refuses %s with 400 and an error in JSON', async (text) => {
    const { answerer, bugs } = answererOf(protocol);
    const answer = await answerer.answer(complete({ body: Buffer.from(text) }));
    expect(answer.status).toBe(400);
    isError(answer.body);
    expect(bugs).toEqual([]);
  });

  it.each([
    ['malformed JSON', { body: Buffer.from('{"a":') }, 400],
    ['an empty body', { body: Buffer.alloc(0) }, 400],
    ['bad UTF-8', { body: Buffer.from([0xff]) }, 400],
    ['a body nested too deep', { body: Buffer.from('['.repeat(100_000)) }, 400],
    ['another content type', { headers: { 'content-type': 'text/html' } }, 415],
    ['a compressed body', { headers: { ...json, 'content-encoding': 'br' } }, 415],
    ['another method', { method: 'DELETE' }, 405],
  ])('refuses %s', async (_what, parts, status) => {
    const { answerer, bugs } = answererOf(protocol);
    const answer = await answerer.answer(complete(parts));
    expect(answer.status).toBe(status);
    isError(answer.body);
    expect(bugs).toEqual([]);
  });

  it('answers 503 with Retry-After while there is no model', async () => {
    const { answerer } = answererOf(protocol, new ModelHost({ warn: () => undefined }));
    const answer = await answerer.answer(complete({}));
    expect(answer.status).toBe(503);
    expect(answer.headers?.['retry-after']).toBe('1');
  });
});
