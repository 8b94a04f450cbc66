import { hash } from 'node:crypto';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { requireKey } from '../../../src/stages/serve/access.js';
import { serveOptions } from '../../../src/stages/serve/config.js';
import { listenGrpc } from '../../../src/stages/serve/grpc/listen.js';
import { createMetrics } from '../../../src/stages/serve/metrics.js';
import { ModelHost } from '../../../src/stages/serve/model-host.js';
import { followCredentials, readCredentials } from '../../../src/stages/serve/tls.js';
import { flowers, makeShelf, type Shelf } from './releases.js';
import { post, start, type Served } from './start.js';

let shelf: Shelf;
let release: string;
let served: Served | undefined;
beforeAll(async () => {
  shelf = await makeShelf();
  release = await shelf.add(flowers());
});
afterEach(() => served?.stop());
afterAll(() => shelf.remove());

const row = { height: 1, width: 2, colour: 'red' };
const key = 'correct horse battery';

describe('keys', () => {
  it('let in who has one, by any of the three headers', () => {
    const check = requireKey([`sha256:${hash('sha256', 'another-key-of-ours').toUpperCase()}`, key]);
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
    check({ 'x-api-key': key });
    check({ authorization: 'Bearer another-key-of-ours' });
    check({ authorization: 'bearer  another-key-of-ours' });
    check({ authorization: basic(`me:${key}`) });
    for (const [headers, status] of [
      [{}, 401],
      [{ authorization: 'Digest x' }, 401],
      [{ authorization: basic(`me:${key}`), 'sec-fetch-site': 'cross-site' }, 401],
      [{ 'x-api-key': '' }, 403],
      [{ 'x-api-key': `${key} ` }, 403],
      [{ authorization: 'Bearer ' }, 403],
      [{ authorization: basic('no colon') }, 403],
    ] as const) {
      expect(() => {
        check(headers);
      }).toThrow(expect.objectContaining({ status }) as Error);
    }
  });

  it('are asked for everywhere but at /v2/health', async () => {
    served = await start(release, { options: { keys: ['0123456789abcdef'] } });
    for (const path of ['/', '/metrics', '/openapi.json', '/v2', '/v2/models/flowers', '/nothing']) {
      const answer = await served.get(path);
      expect(answer.status).toBe(401);
      expect(answer.headers.get('www-authenticate')).toContain('Bearer');
    }
    expect((await served.get('/v2/health/ready')).status).toBe(200);
    const predict = (value: string): Promise<Response> =>
      post(`${served!.url}/predict`, row, { authorization: `Bearer ${value}` });
    expect((await predict('0123456789abcdef')).status).toBe(200);
    expect((await predict('0123456789abcdeF')).status).toBe(403);
    const large = await post(`${served.url}/predict`, 'x'.repeat(1_000_000));
    expect(large.status).toBe(401);
  });

  it('are long enough, or whole digests', () => {
    for (const bad of ['short', 'sha256:abc', '', `sha256:${'g'.repeat(64)}`]) {
      expect(serveOptions.safeParse({ keys: [bad] }).success).toBe(false);
    }
    expect(serveOptions.safeParse({ keys: [] }).success).toBe(false);
    expect(serveOptions.safeParse({ keys: [`sha256:${'a'.repeat(64)}`] }).success).toBe(true);
  });
});

describe('limits', () => {
  it('close connections beyond maxConnections, and serve the others', async () => {
    served = await start(release, { options: { maxConnections: 3 } });
    const port = Number(new URL(served.url).port);
    const open = Array.from({ length: 10 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
    await Promise.all(open.slice(3).map((socket) => new Promise((resolve) => socket.once('close', resolve))));
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await served.post('/predict', row)).status).toBe(200);
  });
});

describe('the access log', () => {
  it('tells of every request once, and who went away', async () => {
    served = await start(release, { options: { accessLog: true } });
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    await post(`${served.url}/predict`, row, { 'x-request-id': 'r1', traceparent: trace });
    await post(`${served.url}/predict?x=1`, '[');
    const lines = (): unknown[] => served!.events.filter(({ event }) => event === 'request');
    while (lines().length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(lines()).toMatchObject([
      { path: '/predict', status: 200, model: 'flowers', protocol: 'predict', id: 'r1', traceparent: trace },
      { method: 'POST', path: '/predict?x=1', status: 400 },
    ]);
  });
});

describe('TLS', () => {
  let folder: string;
  let hasOpenssl = true;
  const files = (name: string): { cert: string; key: string } => ({
    cert: join(folder, `${name}.crt`),
    key: join(folder, `${name}.key`),
  });
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'maas-tls-'));
    for (const name of ['first', 'second']) {
      const { cert, key } = files(name);
      const { failed } = await execa(
        'openssl',
        [
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:prime256v1',
          '-nodes',
          '-days',
          '2',
        ].concat([
          '-keyout',
          key,
          '-out',
          cert,
          '-subj',
          `/CN=${name}`,
          '-addext',
          'subjectAltName=IP:127.0.0.1',
        ]),
        { reject: false },
      );
      if (failed) hasOpenssl = false;
    }
    if (!hasOpenssl) console.log('skipped: no openssl here to make certificates with');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const ask = (url: string): Promise<{ status: number | undefined; name: string }> =>
    new Promise((resolve, reject) => {
      request(`${url}/v2/health/ready`, { rejectUnauthorized: false, agent: false }, (answer) => {
        const { socket } = answer;
        const name = socket instanceof TLSSocket ? socket.getPeerCertificate().subject.CN : 'none';
        answer.resume().on('end', () => {
          resolve({ status: answer.statusCode, name: String(name) });
        });
      })
        .on('error', reject)
        .end();
    });

  it('is spoken, and nothing else', async ({ skip }) => {
    if (!hasOpenssl) skip('openssl is not installed');
    served = await start(release, { options: { tls: files('first') } });
    expect(served.url).toMatch(/^https:/);
    expect(await ask(served.url)).toEqual({ status: 200, name: 'first' });
    await expect(fetch(served.url.replace('https', 'http'))).rejects.toThrow();
    expect(await ask(served.url)).toMatchObject({ status: 200 });
  });

  it('goes over to renewed files, and refuses halves', async ({ skip }) => {
    if (!hasOpenssl) skip('openssl is not installed');
    const used = files('used');
    await copyFile(files('first').cert, used.cert);
    await copyFile(files('first').key, used.key);
    const seen: string[] = [];
    const stop = followCredentials(
      used,
      ({ cert }) => seen.push(String(cert)),
      () => seen.push('refused'),
      10,
    );
    await new Promise((resolve) => setTimeout(resolve, 60));
    await copyFile(files('second').cert, used.cert);
    while (seen.length < 1) await new Promise((resolve) => setTimeout(resolve, 5));
    await copyFile(files('second').key, used.key);
    // A look may come while the key is being written: that is a half, too.
    while (seen.at(-1) === 'refused') await new Promise((resolve) => setTimeout(resolve, 5));
    stop();
    expect(seen[0]).toBe('refused');
    expect(seen.at(-1)).toContain('BEGIN CERTIFICATE');
  });

  it('is renewed for gRPC while it listens', async ({ skip }) => {
    if (!hasOpenssl) skip('openssl is not installed');
    const models = new ModelHost({ warn: () => undefined });
    const front = await listenGrpc({
      host: '127.0.0.1',
      port: 0,
      maxBodyBytes: 1024,
      models,
      metrics: createMetrics(models),
      onBug: () => undefined,
      credentials: await readCredentials(files('first')),
    });
    const nameAt = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const [host, port] = front.address.split(':');
        const socket = connectTls(
          { host: host!, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ['h2'] },
          () => {
            resolve(String(socket.getPeerCertificate().subject.CN));
            socket.destroy();
          },
        ).on('error', reject);
      });
    expect(await nameAt()).toBe('first');
    front.renew(await readCredentials(files('second')));
    expect(await nameAt()).toBe('second');
    await front.stop(0);
  });

  it('refuses files that are none, by name', async () => {
    const none = files('none');
    await expect(readCredentials(none)).rejects.toMatchObject({ code: 'MAAS_USAGE' });
    await writeFile(none.cert, 'x');
    await writeFile(none.key, 'x');
    await expect(start(release, { options: { tls: none } })).rejects.toMatchObject({ code: 'MAAS_USAGE' });
  });
});
