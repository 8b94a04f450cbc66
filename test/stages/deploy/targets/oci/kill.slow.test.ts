import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa, type ResultPromise } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Release, TargetContext } from '../../../../../src/plugin/api.js';
import { makeOciTarget } from '../../../../../src/stages/deploy/targets/oci/index.js';
import { deploy, makeContext, makePlainRelease, makeRoot } from '../../../../conformance/target-suite.js';
import { FaultyRegistry, hasProgram, startRegistry } from './registry-server.js';
import { tinyParts } from './tiny-parts.js';

const script = fileURLToPath(new URL('./pushes.mjs', import.meta.url));
const target = makeOciTarget(tinyParts);

describe.skipIf(!hasProgram('docker-registry'))('a deploy to a registry that is killed', () => {
  let root: string;
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  let proxy: FaultyRegistry;
  let host: string;
  let releases: [Release, Release];
  let count = 0;

  beforeAll(async () => {
    root = await makeRoot('maas-push-');
    registry = await startRegistry(root);
    proxy = new FaultyRegistry(registry.host);
    host = await proxy.listen();
    releases = (await Promise.all(['a', 'b'].map((content) => makePlainRelease(root, content)))) as never;
  });
  afterAll(async () => {
    await proxy.close();
    await registry.stop();
    await rm(root, { recursive: true, force: true });
  });

  const folderOf = (image: string) => image.replace(/.*\//, 'layout-');

  /** Pushes from a process of its own. */
  function push(image: string, release: Release, dieAt = 0) {
    return execa(process.execPath, [script, root, folderOf(image), image, release.path, String(dieAt)], {
      reject: false,
    });
  }

  function contextFor(image: string, directory = folderOf(image)): TargetContext {
    return makeContext(root, target.options.parse({ image, directory }), 2);
  }

  /** A repository in which the first release is current. */
  async function start(): Promise<string> {
    count += 1;
    const image = `${host}/team/killed-${count}`;
    await deploy(target, contextFor(image), releases[0]);
    return image;
  }

  /** The release that `latest` names, as a machine that has nothing sees it; every blob of it is what its digest says. */
  async function pullLatest(image: string): Promise<string> {
    const base = `http://${registry.host}/v2/${image.replace(/^[^/]*\//, '')}`;
    const answer = await fetch(`${base}/manifests/latest`, {
      headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
    });
    const manifest = (await answer.json()) as {
      config: { digest: string };
      layers: { digest: string }[];
      annotations: Record<string, string>;
    };
    for (const { digest } of [manifest.config, ...manifest.layers]) {
      const bytes = Buffer.from(await (await fetch(`${base}/blobs/${digest}`)).arrayBuffer());
      expect(`sha256:${createHash('sha256').update(bytes).digest('hex')}`).toBe(digest);
    }
    return manifest.annotations['maas.release']!;
  }

  async function expectRecovery(image: string): Promise<string> {
    const between = await pullLatest(image);
    expect([releases[0].digest, releases[1].digest]).toContain(between);
    await deploy(target, contextFor(image), releases[1]);
    expect(await pullLatest(image)).toBe(releases[1].digest);
    const elsewhere = contextFor(image, join('fresh', String(count)));
    expect(await target.rollback(elsewhere, 1)).toBe(releases[0].digest);
    return between;
  }

  it('at any request leaves a whole image under its tag, and is finished by the next one', async () => {
    let running: ResultPromise | undefined;
    let left = Infinity;
    let asked = 0;
    proxy.fault = () => {
      asked += 1;
      left -= 1;
      // The registry gets this one all the same: a kill never takes back what was sent.
      if (left === 0) running?.kill('SIGKILL');
      return false;
    };
    const first = await start();
    asked = 0;
    await push(first, releases[1]);
    const requests = asked;
    expect(requests).toBeGreaterThan(15);
    const seen = new Set<string>();
    for (let point = 1; point <= requests; point += 1) {
      const image = await start();
      left = point;
      running = push(image, releases[1]);
      // Killed, or done: the last request may be answered before the kill arrives.
      await running;
      left = Infinity;
      seen.add(await expectRecovery(image));
    }
    proxy.fault = () => false;
    expect(seen).toEqual(new Set(releases.map(({ digest }) => digest)));
  }, 240_000);

  it('at changes of its own folder is finished by the next one', async () => {
    const changes = Number((await push(await start(), releases[1])).stdout);
    expect(changes).toBeGreaterThan(20);
    // Every third: the folder's own files are written in one way.
    for (let point = 1; point <= changes; point += 3) {
      const image = await start();
      expect((await push(image, releases[1], point)).signal).toBe('SIGKILL');
      await expectRecovery(image);
    }
  }, 240_000);
});
