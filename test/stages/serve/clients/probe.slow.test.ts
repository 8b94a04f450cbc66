import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve } from '../../../e2e/maas.js';
import { listenGrpc } from '../../../../src/stages/serve/grpc/listen.js';
import { createMetrics } from '../../../../src/stages/serve/metrics.js';
import { ModelHost } from '../../../../src/stages/serve/model-host.js';
import { start } from '../start.js';
import { findProbe } from './find-probe.js';
import { writeModels } from './models.js';

const probe = await findProbe();

/** What the probe ends with. */
const [serving, noConnection, noService, unhealthy] = [0, 2, 3, 4];

describe.skipIf(probe === undefined)('grpc-health-probe', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'maas-probe-'));
    await writeModels(folder);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const look = async (address: string, ...args: string[]): Promise<{ code: number; said: string }> => {
    const all = [`-addr=${address}`, '-connect-timeout=2s', '-rpc-timeout=5s', ...args];
    const { exitCode, all: said } = await execa(probe!, all, { all: true, reject: false });
    return { code: exitCode!, said };
  };
  const addressOf = (events: readonly { event: string; grpc?: unknown }[]): string =>
    String(events.find(({ event, grpc }) => event === 'serving' && grpc !== undefined)!.grpc);

  it('finds the server well, and knows which services there are', async () => {
    const served = await start(folder, { kind: 'repository', options: { grpcPort: 0 } });
    const address = addressOf(served.events);
    expect(await look(address)).toMatchObject({ code: serving });
    expect(await look(address, '-service=inference.GRPCInferenceService')).toMatchObject({ code: serving });
    const unknown = await look(address, '-service=nothing');
    expect(unknown.code).toBe(noService);
    expect(unknown.said).toContain('NotFound');
    await served.stop();
    expect(await look(address)).toMatchObject({ code: noConnection });
  }, 30_000);

  it('needs no key, over TLS and with compression', async ({ skip }) => {
    const files = { cert: join(folder, 'own.crt'), key: join(folder, 'own.key') };
    const made = await execa(
      'openssl',
      [
        ...[
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:prime256v1',
          '-nodes',
          '-days',
          '2',
        ],
        ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
        ...['-keyout', files.key, '-out', files.cert],
      ],
      { reject: false },
    );
    if (made.failed) skip('openssl makes no certificate here');
    const options = { grpcPort: 0, tls: files, keys: ['a key of sixteen or more'] };
    const served = await start(folder, { kind: 'repository', options });
    const address = addressOf(served.events);
    const over = ['-tls', `-tls-ca-cert=${files.cert}`];
    expect(await look(address, ...over)).toMatchObject({ code: serving });
    expect(await look(address, ...over, '-gzip')).toMatchObject({ code: serving });
    expect((await look(address, ...over, '-tls-server-name=elsewhere')).code).toBe(noConnection);
    expect((await look(address)).code).not.toBe(serving);
    await served.stop();
  }, 30_000);

  it('finds it unwell before the models are there, and once it is to stop', async () => {
    const models = new ModelHost({ warn: () => undefined });
    const front = await listenGrpc({
      host: '127.0.0.1',
      port: 0,
      maxBodyBytes: 1000,
      models,
      metrics: createMetrics(models),
      onBug: () => undefined,
    });
    const before = await look(front.address);
    expect(before.code).toBe(unhealthy);
    expect(before.said).toContain('NOT_SERVING');
    models.serve(new Map());
    expect((await look(front.address)).code).toBe(serving);
    models.beginStop();
    expect((await look(front.address, '-service=inference.GRPCInferenceService')).code).toBe(unhealthy);
    await front.stop(1000);
  }, 30_000);

  it('never finds it well again after SIGTERM', async () => {
    await writeFile(
      join(folder, 'maas.config.yaml'),
      'name: probed\ndata: { source: none.csv, target: x }\ntrain: { model: { preset: mlp } }\nserve: { grpcPort: 0 }\n',
    );
    const server = await serve(folder, ['--models', folder]);
    while (!(await fetch(`${server.url}/v2/health/ready`)).ok)
      await new Promise((resolve) => setTimeout(resolve, 20));
    const address = addressOf(server.events);
    expect(await look(address)).toMatchObject({ code: serving });
    const stopped = server.stop();
    const codes: number[] = [];
    let over = false;
    const probing = (async () => {
      while (!over) codes.push((await look(address)).code);
    })();
    expect((await stopped).code).toBe(0);
    over = true;
    await probing;
    expect((await look(address)).code).toBe(noConnection);
    // The signal may take a moment; from the first probe on that sees it none is told that all is well.
    const first = codes.findIndex((code) => code !== serving);
    expect(codes.slice(first)).not.toContain(serving);
  }, 30_000);
});
