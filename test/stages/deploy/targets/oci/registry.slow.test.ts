import { execa } from 'execa';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Release, TargetContext } from '../../../../../src/plugin/api.js';
import { makeOciTarget } from '../../../../../src/stages/deploy/targets/oci/index.js';
import { deploy, makeContext, makePlainRelease, makeRoot } from '../../../../conformance/target-suite.js';
import { type Fault, hasProgram, FaultyRegistry, startRegistry } from './registry-server.js';
import { tinyParts } from './tiny-parts.js';

const target = makeOciTarget(tinyParts);
const hasSkopeo = hasProgram('skopeo');

describe.skipIf(!hasProgram('docker-registry'))('a registry', () => {
  let root: string;
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  let proxy: FaultyRegistry;
  let host: string;
  let repository = 0;
  let context: TargetContext;
  let releases: [Release, Release, Release];

  beforeAll(async () => {
    root = await makeRoot('maas-registry-');
    registry = await startRegistry(root);
    releases = (await Promise.all(
      ['a', 'b', 'c'].map((content) => makePlainRelease(root, content)),
    )) as never;
  });
  afterAll(async () => {
    await registry.stop();
    await rm(root, { recursive: true, force: true });
  });
  beforeEach(async () => {
    proxy = new FaultyRegistry(registry.host);
    host = await proxy.listen();
    repository += 1;
    context = contextFor(`place-${repository}`);
  });
  afterEach(() => proxy.close());

  function contextFor(directory: string): TargetContext {
    const options = target.options.parse({ image: `${host}/team/model-${repository}`, directory });
    return makeContext(root, options, 2);
  }

  it('takes images, lists them, goes back, and removes old ones', async () => {
    const [a, b, c] = releases;
    expect(await target.current(context)).toBeUndefined();
    expect(await target.list(context)).toEqual([]);
    for (const release of releases) await deploy(target, context, release);
    expect((await target.list(context)).map(({ digest }) => digest)).toEqual([c.digest, b.digest]);
    // From another machine, with nothing in its folder.
    const elsewhere = contextFor(`elsewhere-${repository}`);
    expect(await target.current(elsewhere)).toBe(c.digest);
    expect(await target.rollback(elsewhere, 1)).toBe(b.digest);
    expect(await target.current(context)).toBe(b.digest);
    await expect(target.rollback(context, 1)).rejects.toMatchObject({ code: 'MAAS_RELEASE_MISSING' });
    await deploy(target, elsewhere, a);
    expect(await target.current(context)).toBe(a.digest);
  });

  it('is sent only what it has not got', async () => {
    await deploy(target, context, releases[0]);
    const first = proxy.sent;
    proxy.sent = 0;
    await deploy(target, context, releases[1]);
    expect(first).toBeGreaterThan(16_384);
    // The model's layer, the config, manifests and the journal.
    expect(proxy.sent).toBeLessThan(12_000);
  });

  it.skipIf(!hasSkopeo)('holds images that skopeo reads, the same as the layout has', async () => {
    await deploy(target, context, releases[0]);
    const image = `${host}/team/model-${repository}`;
    const { stdout } = await execa('skopeo', ['inspect', '--tls-verify=false', `docker://${image}:latest`]);
    const seen = JSON.parse(stdout) as { Digest: string; Labels: Record<string, string> };
    expect(seen.Labels['maas.release']).toBe(releases[0].digest);
    const layout = `oci:${join(root, `place-${repository}`)}:${releases[0].digest}`;
    await execa('skopeo', ['copy', '--dest-tls-verify=false', layout, `docker://${image}:copied`]);
    const copied = await execa('skopeo', ['inspect', '--tls-verify=false', `docker://${image}:copied`]);
    expect((JSON.parse(copied.stdout) as { Digest: string }).Digest).toBe(seen.Digest);
  });

  /** Does `fault` to the first `count` requests that `when` picks. */
  function some(count: number, when: (method: string, url: string) => boolean, fault: Fault): Fault {
    let left = count;
    return (request, response, body) => {
      if (left === 0 || !when(request.method!, request.url!)) return false;
      left -= 1;
      return fault(request, response, body);
    };
  }
  const isUpload = (method: string, url: string): boolean => method === 'PATCH' && url.includes('/uploads/');

  it.each<[string, Fault]>([
    [
      'fails inside',
      some(
        3,
        () => true,
        (_, response) => Boolean(response.writeHead(500).end('broken')),
      ),
    ],
    [
      'is busy',
      some(
        2,
        () => true,
        (_, response) => Boolean(response.writeHead(429).end()),
      ),
    ],
    ['cuts uploads before it takes them', some(2, isUpload, (request) => Boolean(request.socket.destroy()))],
    [
      'cuts uploads after it took them',
      some(2, isUpload, async (request, _, body) => {
        await proxy.forward(request, body);
        return Boolean(request.socket.destroy());
      }),
    ],
    [
      'takes half of what it is sent',
      some(1, isUpload, async (request, _, body) => {
        delete request.headers['content-range'];
        await proxy.forward(request, body.subarray(0, body.length / 2));
        return Boolean(request.socket.destroy());
      }),
    ],
    [
      'finds another digest than it was told',
      some(
        1,
        (method, url) => method === 'PUT' && url.includes('/uploads/'),
        (_, response) => Boolean(response.writeHead(400).end('{"errors":[{"code":"DIGEST_INVALID"}]}')),
      ),
    ],
    [
      'says that it stored something else',
      some(
        1,
        (method, url) => method === 'PUT' && url.includes('/uploads/'),
        (_, response) =>
          Boolean(response.writeHead(201, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }).end()),
      ),
    ],
  ])('that %s gets the whole image all the same', async (_, fault) => {
    proxy.fault = fault;
    await deploy(target, context, releases[0]);
    proxy.fault = () => false;
    expect(await target.current(contextFor(`fresh-${repository}`))).toBe(releases[0].digest);
  });

  it('that stays broken fails the deploy with what it said, keeps the release, and the next deploy finishes', async () => {
    await deploy(target, context, releases[0]);
    proxy.fault = (request, response) =>
      request.method === 'PUT' && Boolean(response.writeHead(403).end('denied'));
    await expect(deploy(target, context, releases[1])).rejects.toMatchObject({
      code: 'MAAS_REGISTRY',
      message: expect.stringMatching(/PUT .*403 denied/) as string,
    });
    proxy.fault = () => false;
    expect(await target.current(context)).toBe(releases[0].digest);
    await deploy(target, context, releases[1]);
    expect(await target.current(context)).toBe(releases[1].digest);
  });

  it('is never given a blob that was damaged here', async () => {
    const steps = target.steps(context, releases[0]);
    for (const step of steps.slice(0, 2)) await step.run(() => undefined);
    const folder = join(root, `place-${repository}`);
    const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    const blob = (digest: string) => join(folder, 'blobs', ...digest.split(':'));
    const manifest = JSON.parse(await readFile(blob(index.manifests[0]!.digest), 'utf8')) as {
      layers: { digest: string; size: number }[];
    };
    const layer = manifest.layers[0]!;
    await cp(blob(layer.digest), `${blob(layer.digest)}.good`);
    await writeFile(blob(layer.digest), Buffer.alloc(layer.size));
    await expect(deploy(target, context, releases[0])).rejects.toMatchObject({
      code: 'MAAS_ARTIFACT_CORRUPT',
    });
    expect(await target.current(context)).toBeUndefined();
  });

  it('that wants a token gets one for the login in the docker config', async () => {
    const asked: string[] = [];
    const login = Buffer.from('me:secret:word').toString('base64');
    const tokens = new FaultyRegistry(registry.host);
    tokens.fault = (request, response) => {
      asked.push(request.url!);
      const ok = request.headers.authorization === `Basic ${login}`;
      return Boolean(response.writeHead(ok ? 200 : 401).end('{"token":"t0ken"}'));
    };
    const realm = `http://${await tokens.listen()}/token`;
    proxy.fault = (request, response) => {
      if (request.headers.authorization === 'Bearer t0ken') {
        delete request.headers.authorization;
        return false;
      }
      const challenge = `Bearer realm="${realm}",service="registry",scope="repository:x:pull"`;
      return Boolean(response.writeHead(401, { 'www-authenticate': challenge }).end());
    };
    const file = join(root, `login-${repository}.json`);
    await writeFile(file, JSON.stringify({ auths: { [host]: { auth: login } } }));
    const options = { ...(context.options as object), dockerConfig: file };
    await deploy(target, { ...context, options }, releases[0]);
    expect(asked[0]).toContain(`scope=repository%3Ateam%2Fmodel-${repository}%3Apull%2Cpush`);
    await writeFile(file, '{}');
    await expect(target.current({ ...context, options })).rejects.toMatchObject({
      code: 'MAAS_REGISTRY',
      hint: expect.stringContaining('docker login') as string,
    });
    await tokens.close();
  });
});
