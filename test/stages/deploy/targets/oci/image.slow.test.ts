import { execa } from 'execa';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyRelease } from '../../../../../src/stages/deploy/verify.js';
import { collectServer } from '../../../../../src/stages/deploy/targets/oci/bundle.js';
import { findLibraries } from '../../../../../src/stages/deploy/targets/oci/elf.js';
import { buildImage } from '../../../../../src/stages/deploy/targets/oci/image.js';
import { Layout } from '../../../../../src/stages/deploy/targets/oci/layout.js';
import { collectParts } from '../../../../../src/stages/deploy/targets/oci/parts.js';
import type { LayerFile } from '../../../../../src/stages/deploy/targets/oci/tar-layer.js';
import { makePlainRelease, makeRoot } from '../../../../conformance/target-suite.js';
import { type Built, makeRelease } from '../../make-release.js';
import { hasProgram } from './registry-server.js';
import { tinyParts } from './tiny-parts.js';

const { signal } = new AbortController();
let root: string;
beforeAll(async () => {
  root = await makeRoot('maas-image-');
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function layersOf(layout: Layout, image: Awaited<ReturnType<typeof buildImage>>) {
  return (await layout.readManifest(image)).layers;
}

describe('an image', () => {
  it('is the same bytes wherever, whenever and from whatever order of files it is built', async () => {
    const release = await makePlainRelease(root, 'a');
    const parts = await tinyParts(undefined as never);
    const first = await buildImage({
      layout: new Layout(join(root, '1')),
      release,
      name: 'x',
      parts,
      signal,
    });
    await wait(1100);
    const copy = join(root, 'copy', release.digest);
    await mkdir(copy, { recursive: true });
    await execa('cp', ['-r', `${release.path}/.`, copy]);
    await execa('chmod', ['-R', 'u+w,g-r', copy]);
    const moved = { ...release, path: copy };
    const others = {
      ...parts,
      app: [...parts.app].reverse(),
      base: [...(parts.base as LayerFile[])].reverse(),
    };
    const layout = new Layout(join(root, '2'));
    expect(await buildImage({ layout, release: moved, name: 'x', parts: others, signal })).toEqual(first);
  });

  it('shares every layer but one with the image of another model', async () => {
    const layout = new Layout(join(root, 'shared'));
    const parts = await tinyParts(undefined as never);
    const build = async (content: string) => {
      const image = await buildImage({
        layout,
        release: await makePlainRelease(root, content),
        name: 'x',
        parts,
        signal,
      });
      await layout.publish(content, image);
      return (await layersOf(layout, image)).map(({ digest }) => digest);
    };
    const [one, two] = [await build('one'), await build('two')];
    expect(one.map((digest, index) => digest === two[index])).toEqual([true, true, false, true]);
    expect(await layout.sweep()).toBe(0);
    await layout.remove(['one']);
    // Its layer, its config and its manifest.
    expect(await layout.sweep()).toBe(3);
  });
});

describe('the server in an image', () => {
  it('is what serving takes and no more', async () => {
    const { app, dependencies, packages } = await collectServer();
    const names = packages.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        '@grpc/grpc-js',
        'onnxruntime-common',
        'onnxruntime-node',
        'prom-client',
        'zod',
      ]),
    );
    for (const name of ['@oclif/core', 'listr2', 'adm-zip', 'vitest']) expect(names).not.toContain(name);
    const paths = app.map(({ path }) => path);
    for (const entry of ['commands/cli/serve-image', 'runtime/thread/worker'])
      expect(paths).toContain(`app/dist/${entry}.js`);
    expect(paths.filter((path) => /commands\/(?!cli\/serve-image)|stages\/|plugin\//.test(path))).toEqual([]);
    const natives = dependencies
      .map(({ path }) => path)
      .filter((path) => /\.(node|so\.\d|dll|dylib)$/.test(path));
    expect(natives.filter((path) => !path.includes(`/${process.platform}/${process.arch}/`))).toEqual([]);
    expect(natives.length).toBeGreaterThan(0);
  });

  it.skipIf(process.platform !== 'linux')('comes with the libraries that the loader would find', async () => {
    const report = process.report.getReport() as unknown as { sharedObjects: string[] };
    const loaded = report.sharedObjects.filter((path) =>
      /\/(libc|libstdc\+\+|libm|libgcc_s|ld-linux[^/]*)\.so/.test(path),
    );
    const names = (paths: readonly string[]) => paths.map((path) => path.split('/').at(-1));
    const found = await findLibraries([process.execPath]);
    expect(names(found)).toEqual(expect.arrayContaining(names(loaded)));
  });
});

describe.skipIf(process.platform !== 'linux')('a real image', { timeout: 120_000 }, () => {
  let built: Built;
  let layout: Layout;

  beforeAll(async () => {
    built = await makeRelease(join(root, 'project'));
    layout = new Layout(join(root, 'real'));
  });

  it('is at most 60 MB, and answers golden rows when it is unpacked', async () => {
    const { project, artifact: release } = built;
    const parts = await collectParts(project);
    const image = await buildImage({ layout, release, name: 'things', parts, signal });
    await layout.publish('latest', image);
    const layers = await layersOf(layout, image);
    expect(layers.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(60e6);

    const unpacked = join(root, 'unpacked');
    await mkdir(unpacked);
    for (const { digest } of layers) await execa('tar', ['-xzf', layout.blobPath(digest), '-C', unpacked]);
    const bom = JSON.parse(String(parts.app.find(({ path }) => path.endsWith('sbom.cdx.json'))!.from)) as {
      components: { purl?: string }[];
    };
    expect(bom.components.map(({ purl }) => purl)).toContain(`pkg:generic/node@${process.versions.node}`);

    // The entry stands in for the command line: a script that hands it the release, on a spare port.
    const script = join(unpacked, 'app', 'start.mjs');
    await writeFile(
      script,
      `process.argv.splice(2, Infinity, process.argv[process.argv.indexOf('--release') + 1]); await import(${JSON.stringify(unpacked + parts.entry)});`,
    );
    await writeFile(join(unpacked, 'app', 'serve.json'), '{"host":"127.0.0.1","port":0}');
    const inside = { ...release, path: join(unpacked, 'releases', release.digest) };
    const { maxError, rows } = await verifyRelease(inside, { script, timeout: 20, signal });
    expect(rows).toBeGreaterThan(10);
    expect(maxError).toBeLessThan(1e-6);

    // As it starts by itself, in as many processes as it is told.
    const server = execa(process.execPath, [unpacked + parts.entry, inside.path, '{"processes":2}'], {
      buffer: false,
      reject: false,
    });
    let url: string | undefined;
    const events: string[] = [];
    const ended = (async () => {
      for await (const line of server) {
        const event = JSON.parse(line) as { event: string; url: string };
        events.push(event.event);
        if (event.event === 'serving') url = event.url;
      }
      return server;
    })();
    await expect.poll(() => url, { timeout: 20_000 }).toBeDefined();
    for (let time = 0; time < 4; time++) expect((await fetch(`${url}/v2/health/ready`)).status).toBe(200);
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(
      /maas_requests_total\{[^}]*status="200"\} 4/,
    );
    server.kill('SIGTERM');
    expect((await ended).exitCode).toBe(0);
    expect(events.filter((event) => event === 'serving')).toHaveLength(1);
  });

  it.skipIf(!hasProgram('podman') || !hasProgram('runc'))(
    'runs read-only and without capabilities in podman, predicts, and stops on SIGTERM',
    async ({ skip }) => {
      const settings = join(root, 'containers.conf');
      await writeFile(
        settings,
        '[containers]\ndefault_ulimits=["nofile=20000:20000","nproc=32768:32768"]\n[engine]\nruntime="runc"\n',
      );
      const storage = [
        '--root',
        join(root, 'pod'),
        '--runroot',
        join(root, 'podrun'),
        '--cgroup-manager',
        'cgroupfs',
      ];
      const podman = (...args: string[]) =>
        execa('podman', [...storage, '--storage-driver', 'vfs', ...args], {
          env: { CONTAINERS_CONF: settings },
          reject: false,
          // podman takes a layout's path for a name: it must be in lower case.
          cwd: root,
        });
      const name = `maas-image-${process.pid}`;
      const address = '127.0.0.1::8080';
      const limits = ['--read-only', '--cap-drop', 'all', '--memory', '512m'];
      const started = await podman('run', '-d', '--name', name, ...limits, '-p', address, 'oci:real:latest');
      if (started.exitCode !== 0) {
        process.stderr.write(`skipped: podman runs no container here: ${started.stderr}\n`);
        skip();
      }
      try {
        const host = (await podman('port', name, '8080')).stdout.trim();
        const row = { width: 1.1, height: 2, colour: 'red' };
        const ask = () =>
          fetch(`http://${host}/predict`, {
            method: 'POST',
            body: JSON.stringify(row),
            headers: { 'content-type': 'application/json' },
          });
        let answer: Response | undefined;
        for (let tries = 0; tries < 200 && answer?.status !== 200; tries += 1) {
          answer = await ask().catch(() => undefined);
          if (answer?.status !== 200) await wait(50);
        }
        expect(await answer!.json()).toHaveProperty('label');
        await podman('stop', '-t', '10', name);
        expect((await podman('inspect', name, '--format', '{{.State.ExitCode}}')).stdout).toBe('0');
      } finally {
        await podman('rm', '-f', name);
      }
    },
  );
});
