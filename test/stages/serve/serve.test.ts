import { appendFile, cp, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readInstructionSet } from '../../../src/runtime/cpu.js';
import { MaasError } from '../../../src/errors.js';
import type { Protocol } from '../../../src/plugin/api.js';
import { flowers, lookup, makeShelf, type Shelf } from './releases.js';
import { start, type Served } from './start.js';

let shelf: Shelf;
let first: string;
let second: string;
beforeAll(async () => {
  shelf = await makeShelf();
  first = await shelf.add(flowers());
  second = await shelf.add(flowers({ bias: 2 }));
});
afterAll(() => shelf.remove());

const row = { height: 0.1, width: 0.2, colour: 'red' };
const digestOf = (folder: string): string => folder.slice(-64);
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
};

interface Prediction {
  label: string;
  probabilities: Record<string, number>;
}

/** Asks without a pause until `stop`; each answer is checked against the two releases' own answers. */
function load(server: Served, clients: number) {
  let stopped = false;
  const seen = new Map<string, number>();
  const failures: string[] = [];
  const client = async (): Promise<void> => {
    while (!stopped) {
      try {
        const response = await server.post('/v2/models/flowers/infer', {
          inputs: [
            { name: 'features', datatype: 'FP32', shape: [1, 2], data: [row.height, row.width] },
            { name: 'colour', datatype: 'BYTES', shape: [1, 1], data: [row.colour] },
          ],
          outputs: [{ name: 'probabilities' }],
        });
        if (response.status !== 200) failures.push(`${response.status} ${await response.text()}`);
        else {
          const { model_version, outputs } = (await response.json()) as {
            model_version: string;
            outputs: { data: number[] }[];
          };
          const key = `${model_version} ${outputs[0]!.data.map((value) => value.toFixed(4)).join()}`;
          seen.set(key, (seen.get(key) ?? 0) + 1);
        }
      } catch (error) {
        const { code } = ((error as Error).cause ?? {}) as { code?: string };
        // Once it accepts no more, a new connection is refused: the caller is told before anything is lost.
        if (stopped || code === 'ECONNREFUSED') return;
        failures.push(`${String(error)} ${code ?? ''}`);
      }
    }
  };
  const work = Array.from({ length: clients }, client);
  return {
    seen,
    failures,
    async stop() {
      stopped = true;
      await Promise.all(work);
    },
    ended: () => Promise.all(work),
  };
}

describe('a server', () => {
  it('tells what it serves at /', async () => {
    const server = await start(first);
    const body = (await (await server.get('/')).json()) as Record<string, unknown>;
    expect(body).toMatchObject({
      name: 'garden',
      ready: true,
      models: [{ name: 'flowers', version: digestOf(first), task: 'classification' }],
      protocols: [{ name: 'predict' }, { name: 'open-inference' }],
      metrics: '/metrics',
    });
    expect((await server.post('/', {})).status).toBe(405);
    expect((await server.get('/nothing')).status).toBe(404);
    expect(server.events).toEqual([
      {
        event: 'note',
        stage: 'serve',
        // How much is quick enough for it goes by the clock.
        text: expect.stringMatching(
          /^flowers runs in the server's own thread.*, up to 64 rows a run, 1 thread inside one$/,
        ) as string,
      },
      { event: 'serving', url: server.url, model: 'flowers', digest: digestOf(first) },
    ]);
    await server.stop();
  });

  it('answers many at once, each with its own rows', async () => {
    const server = await start(first);
    const rows = Array.from({ length: 60 }, (_, index) => ({
      height: Math.sin(index) * 3,
      width: Math.cos(index * 2) * 3,
      colour: ['red', 'white', 'yellow'][index % 3],
    }));
    const ask = async (body: unknown): Promise<unknown> => (await server.post('/predict', body)).json();
    const alone: Prediction[] = [];
    for (const each of rows) alone.push((await ask(each)) as Prediction);
    const together = (await Promise.all(rows.map(ask))) as Prediction[];
    for (const [index, { label, probabilities }] of together.entries()) {
      expect(label).toBe(alone[index]!.label);
      for (const [name, value] of Object.entries(probabilities)) {
        expect(value).toBeCloseTo(alone[index]!.probabilities[name]!, 6);
      }
    }
    await server.stop();
  });

  it('counts requests, batches and runs in /metrics', async () => {
    const server = await start(first);
    await Promise.all(Array.from({ length: 20 }, () => server.post('/predict', row)));
    await server.post('/predict', '[');
    await server.get(`/v2/models/no-such-model-${'x'.repeat(20)}`);
    await server.get('/nothing');
    const response = await server.get('/metrics');
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    const text = await response.text();
    const value = (name: string): number =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.split(' ')[1],
      );
    const served = `model="flowers",version="${digestOf(first)}"`;
    expect(value(`maas_requests_total{${served},protocol="predict",status="200"}`)).toBe(20);
    expect(value('maas_requests_total{model="",version="",protocol="predict",status="400"}')).toBe(1);
    expect(value('maas_requests_total{model="",version="",protocol="open-inference",status="404"}')).toBe(1);
    expect(value('maas_requests_total{model="",version="",protocol="maas",status="404"}')).toBe(1);
    expect(value(`maas_request_duration_seconds_count{${served},protocol="predict",status="200"}`)).toBe(20);
    expect(value(`maas_batch_rows_sum{${served}}`)).toBe(20);
    expect(value(`maas_run_duration_seconds_count{${served}}`)).toBe(
      value(`maas_batch_rows_count{${served}}`),
    );
    expect(value(`maas_model_info{${served},project="garden",batching="true"}`)).toBe(1);
    expect(value('maas_ready')).toBe(1);
    expect(value(`maas_queue_depth{${served}}`)).toBe(0);
    expect(value('maas_requests_in_flight')).toBe(1);
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(1e7);
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(text).not.toContain('no-such-model');
    await server.stop();
  });

  it('answers 503 with Retry-After when its queue is full, and recovers', async () => {
    const server = await start(first, { options: { maxQueue: 1, maxBatchSize: 1 } });
    const answers = await Promise.all(Array.from({ length: 40 }, () => server.post('/predict', row)));
    const refused = answers.filter(({ status }) => status === 503);
    expect(answers.filter(({ status }) => status === 200).length + refused.length).toBe(40);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]!.headers.get('retry-after')).toBe('1');
    expect((await server.post('/predict', row)).status).toBe(200);
    await server.stop();
  });

  it('says so when the model cannot run, and goes on', async () => {
    const server = await start(await shelf.add(lookup()));
    const bad = await server.post('/predict', { index: 99 });
    expect(bad.status).toBe(500);
    expect(((await bad.json()) as { error: string }).error).toContain('cannot run on this input');
    expect(await (await server.post('/predict', [{ index: 1 }, { index: 2 }])).json()).toEqual([
      { prediction: 20 },
      { prediction: 30 },
    ]);
    await server.stop();
  });

  it('gives paths to protocols of plugins, and hides what breaks in them', async () => {
    const hello: Protocol = {
      name: 'hello',
      summary: 'says hello',
      handle: ({ path, query }, host) => {
        if (path === '/broken') throw new Error('secret');
        if (path !== '/hello') return undefined;
        const body = `${query.get('to') ?? ''} from ${host.models()[0]!.name}`;
        return Promise.resolve({ status: 200, body });
      },
    };
    const server = await start(first, { protocols: [hello] });
    expect(await (await server.get('/hello?to=you')).text()).toBe('you from flowers');
    const broken = await server.get('/broken');
    expect(broken.status).toBe(500);
    expect(await broken.json()).toEqual({ error: 'internal error' });
    expect(server.events.at(-1)).toMatchObject({
      event: 'warning',
      text: expect.stringContaining('secret') as string,
    });
    expect((await server.get('/predict')).status).toBe(404);
    await server.stop();
  });

  it('warns of a model that was compressed for other processors', async () => {
    const here = await readInstructionSet();
    const other = here === 'arm64' ? 'avx2' : 'arm64';
    for (const target of [other, here ?? 'none']) {
      const server = await start(await shelf.add(flowers({ bias: 7 }), { metrics: { target } }));
      const warnings = server.events.filter(({ event }) => event === 'warning');
      expect(warnings).toHaveLength(target === other && here ? 1 : 0);
      if (warnings[0])
        expect(warnings[0]).toMatchObject({ text: expect.stringContaining(`for ${other}, and`) as string });
      await server.stop();
    }
  });
});

describe('start', () => {
  it('gives the port back when the release is refused', async () => {
    const broken = join(shelf.root, 'broken');
    await cp(first, broken, { recursive: true });
    await appendFile(join(broken, 'model.onnx'), 'x');
    const probe = await start(first);
    const port = Number(new URL(probe.url).port);
    await probe.stop();
    await expect(start(broken, { options: { port } })).rejects.toMatchObject({
      code: 'MAAS_ARTIFACT_CORRUPT',
    });
    await expect(start(join(shelf.root, 'none'), { options: { port }, follow: true })).rejects.toMatchObject({
      code: 'MAAS_RELEASE_MISSING',
    });
    const server = await start(first, { options: { port } });
    await expect(start(first, { options: { port } })).rejects.toMatchObject({ code: 'MAAS_PORT' });
    await server.stop();
  });

  it('can be called off', async () => {
    const error = await start(first, { signal: AbortSignal.abort() }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MaasError);
    expect((error as MaasError).code).toBe('MAAS_INTERRUPTED');
  });
});

describe('following a link', () => {
  it('goes over to each new release under load, without a failed or a mixed answer', async () => {
    await shelf.point(first);
    const server = await start(shelf.link, { follow: true });
    const traffic = load(server, 6);
    await until(() => traffic.seen.size > 0);
    for (const folder of [second, first, second, first, second]) {
      await shelf.point(folder);
      await until(() => server.digest === digestOf(folder));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await traffic.stop();
    expect(traffic.failures).toEqual([]);
    // Two releases, each always with its own probabilities.
    expect([...traffic.seen.keys()].map((key) => key.split(' ')[0]).sort()).toEqual(
      [digestOf(first), digestOf(second)].sort(),
    );
    expect(server.events.filter(({ event }) => event === 'serving')).toHaveLength(6);
    expect(await (await server.get('/metrics')).text()).toContain('maas_reloads_total{result="done"} 5');
    await server.stop();
  });

  it('refuses a broken release and goes on with the old one, until a whole one comes', async () => {
    await shelf.point(first);
    const server = await start(shelf.link, { follow: true });
    const broken = join(shelf.root, 'half');
    await cp(second, broken, { recursive: true });
    await rm(join(broken, 'model.onnx'));
    await shelf.point(broken);
    const warnings = (): unknown[] => server.events.filter(({ event }) => event === 'warning');
    await until(() => warnings().length > 0);
    expect(warnings()[0]).toMatchObject({ text: expect.stringContaining('model.onnx is missing') as string });
    expect(server.digest).toBe(digestOf(first));
    expect((await server.post('/predict', row)).status).toBe(200);
    await rm(shelf.link);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await symlink(second, shelf.link);
    await until(() => server.digest === digestOf(second));
    expect(warnings()).toHaveLength(1);
    await server.stop();
  });
});

describe('stop', () => {
  it('loses nothing under load', async () => {
    const server = await start(first);
    const traffic = load(server, 8);
    await until(() => [...traffic.seen.values()].reduce((a, b) => a + b, 0) > 100);
    const stopped = server.stop();
    await traffic.ended();
    await stopped;
    expect(traffic.failures).toEqual([]);
  });

  it('is not ready from the first moment, and can be asked for twice or by the signal', async () => {
    const controller = new AbortController();
    const server = await start(first, { signal: controller.signal });
    // Two connections that stay open; new ones are not accepted any more.
    const opened = await Promise.all([server.get('/'), server.get('/')]);
    await Promise.all(opened.map((response) => response.text()));
    controller.abort();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const [ready, predicted] = await Promise.all([
      server.get('/v2/health/ready'),
      server.post('/predict', row),
    ]);
    expect(ready.status).toBe(503);
    expect(predicted.status).toBe(200);
    expect(predicted.headers.get('connection')).toBe('close');
    await Promise.all([server.stop(), server.stop()]);
    await expect(server.get('/')).rejects.toThrow();
  });
});
