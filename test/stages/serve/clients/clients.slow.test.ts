import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  generateProtocol,
  openInferenceProtocol,
  predictProtocol,
  tfServingProtocol,
} from '../../../../src/stages/serve/index.js';
import { flowers, makeShelf, type Shelf } from '../releases.js';
import { start, type Served } from '../start.js';
import { startReceiver } from '../trace/receiver.js';
import { findPython } from './find-python.js';
import { writeModels } from './models.js';

const python = await findPython();
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

describe.skipIf(python === undefined)('clients that others wrote', () => {
  let folder: string;
  let shelf: Shelf;
  let served: Served;
  let http: string;
  let grpc: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'maas-clients-'));
    shelf = await makeShelf();
    await writeModels(folder, await shelf.add(flowers()));
    served = await start(folder, {
      kind: 'repository',
      options: { grpcPort: 0 },
      protocols: [predictProtocol, openInferenceProtocol, tfServingProtocol, generateProtocol],
    });
    http = new URL(served.url).host;
    // Loads those that nobody asked for yet.
    for (const name of ['echo', 'some', 'few', 'double', 'flowers']) await served.get(`/v2/models/${name}`);
    grpc = served.events.flatMap((event) => (event.event === 'serving' ? [event.grpc!] : []))[0]!;
  });
  afterAll(async () => {
    await served.stop();
    await shelf.remove();
    await rm(folder, { recursive: true, force: true });
  });

  const run = async (...args: string[]): Promise<string> => {
    const { all, exitCode } = await execa(python!, args, { all: true, reject: false, cwd: folder });
    expect(exitCode, all).toBe(0);
    return all;
  };

  it('tritonclient reads what the server tells of itself, and gets every type back, over HTTP and gRPC', async () => {
    expect(await run(here('triton_client.py'), http, grpc)).toContain('done');
  }, 60_000);

  it('kserve asks by V2 over REST and gRPC, and by V1', async () => {
    expect(await run(here('kserve_client.py'), http, grpc)).toContain('done');
  }, 60_000);

  it('the health probe of gRPC sees the server, and its service', async () => {
    expect(await run(here('health_probe.py'), grpc)).toContain('done');
  }, 60_000);

  it('spans are what the messages of OpenTelemetry say', async () => {
    const receiver = await startReceiver();
    const traced = await start(folder, {
      kind: 'repository',
      options: { tracing: { endpoint: receiver.endpoint, rate: 1, service: 'traced' } },
    });
    const answer = await traced.post('/predict/double', { x: [1, 2] });
    expect(answer.status).toBe(200);
    await traced.stop();
    await receiver.stop();
    const file = join(folder, 'spans.json');
    await writeFile(file, receiver.bodies[0]!);
    const read = (await run(here('read_otlp.py'), file)).trim().split('\n');
    const [, traceId] = read[0]!.split(' ');
    const kinds = ['SPAN_KIND_INTERNAL queue', 'SPAN_KIND_INTERNAL run', 'SPAN_KIND_SERVER POST predict'];
    expect(read.sort()).toEqual(kinds.map((kind) => `traced ${traceId!} ${kind}`));
  }, 60_000);

  const schemathesis = async (...args: string[]): Promise<void> => {
    const common = ['--max-examples=10', '--seed=1', '--no-color', ...args];
    const checked = await run('-m', 'schemathesis.cli', 'run', `${served.url}/openapi.json`, ...common);
    expect(checked).toContain('No issues found');
  };

  it('schemathesis finds no answer that the OpenAPI document does not tell of', async () => {
    await schemathesis('--checks=all', '--exclude-path-regex=/infer$');
  }, 120_000);

  it('schemathesis finds none of tensors; that as many numbers as the shape says must be there no schema can say', async () => {
    const all = ['--checks=all', '--exclude-checks=positive_data_acceptance'];
    await schemathesis(...all, '--include-path-regex=/infer$');
  }, 120_000);
});
