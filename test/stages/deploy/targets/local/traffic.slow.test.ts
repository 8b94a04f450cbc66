import { execFileSync } from 'node:child_process';
import { appendFile, chmod, cp, mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Artifact } from '../../../../../src/artifacts/index.js';
import type { Release, TargetContext } from '../../../../../src/plugin/api.js';
import { localTarget } from '../../../../../src/stages/deploy/index.js';
import { verifyRelease } from '../../../../../src/stages/deploy/verify.js';
import { deploy, makeContext, makeRoot } from '../../../../conformance/target-suite.js';
import { buildRelease, makeModel, makeProject, makeRelease, spoilGolden } from '../../make-release.js';
import { Callers, startServer, type TestServer } from './traffic.js';

const script = fileURLToPath(new URL('./dies-at.mjs', import.meta.url));

describe('a release that answers while others are deployed', () => {
  let root: string;
  let releases: [Release, Release];
  let server: TestServer;
  let url: string;
  let callers: Callers;

  beforeAll(async () => {
    root = await makeRoot('maas-traffic-');
    const project = await makeProject(root);
    await appendFile(project.configFile, 'deploy: { target: local }\n');
    const first = await makeRelease(root, 0, project);
    const model = await makeModel(project, first.store, 8);
    releases = [first.artifact, (await buildRelease(project, first.store, model)).artifact];
    await deploy(localTarget, context(), releases[0]);
    server = await startServer(root);
    ({ url } = server);
    callers = new Callers(url);
  }, 180_000);

  afterAll(async () => {
    await callers.stop();
    await server.kill();
    await rm(root, { recursive: true, force: true });
  });

  function context(verify?: TargetContext['verify']): TargetContext {
    const made = makeContext(root, localTarget.options.parse({}), 2);
    return verify ? { ...made, verify } : made;
  }

  /** The real check: a candidate of its own. */
  const verify: TargetContext['verify'] = (release) =>
    verifyRelease(release, { timeout: 60, signal: new AbortController().signal });

  const serving = async (): Promise<string> =>
    ((await (await fetch(`${url}/v2/models/things`)).json()) as { versions: string[] }).versions[0]!;

  async function until(digest: string): Promise<void> {
    for (let tries = 0; (await serving()) !== digest; tries += 1) {
      if (tries === 400) throw new Error(`${digest} is not served`);
      await wait(25);
    }
  }

  /** The releases, the one that is not current first. */
  async function nextAndCurrent(): Promise<[Release, Release]> {
    const [a, b] = releases;
    return (await localTarget.current(context())) === a.digest ? [b, a] : [a, b];
  }

  it('fails no request at 30 points where a deploy is killed, and goes over to each that is finished', async () => {
    for (let point = 1; point <= 30; point += 1) {
      const [next] = await nextAndCurrent();
      // From an empty place, so that each point is one of the whole way.
      await rm(join(root, '.maas/deploy/releases', next.digest), { recursive: true, force: true });
      const { signal } = await execa(process.execPath, [script, root, next.path, String(point)], {
        reject: false,
      });
      expect(signal).toBe('SIGKILL');
      await deploy(localTarget, context(), next);
      await until(next.digest);
    }
    expect(callers.failed).toEqual([]);
  }, 240_000);

  it('is not left for one that is damaged, answers wrong, or is too slow', async () => {
    const [next, current] = await nextAndCurrent();
    await rm(join(root, '.maas/deploy/releases', next.digest), { recursive: true, force: true });
    const damaged = join(root, 'damaged', next.digest);
    await mkdir(join(root, 'damaged'));
    await cp(next.path, damaged, { recursive: true });
    await chmod(join(damaged, 'model.onnx'), 0o644);
    await writeFile(join(damaged, 'model.onnx'), 'nothing');
    await expect(deploy(localTarget, context(verify), { ...next, path: damaged })).rejects.toMatchObject({
      code: 'MAAS_ARTIFACT_CORRUPT',
    });

    const wrong = await spoilGolden(root, next as Artifact);
    await expect(deploy(localTarget, context(verify), wrong)).rejects.toMatchObject({
      code: 'MAAS_VERIFY_FAILED',
      message: expect.stringMatching(/golden row|golden output/) as string,
    });

    const slow: TargetContext['verify'] = (release) =>
      verifyRelease(release, { timeout: 60, maxLatencyMs: 1e-6, signal: new AbortController().signal });
    await expect(deploy(localTarget, context(slow), next)).rejects.toMatchObject({
      code: 'MAAS_VERIFY_FAILED',
      message: expect.stringContaining('its budget') as string,
    });
    expect(await localTarget.current(context())).toBe(current.digest);
    expect(await serving()).toBe(current.digest);
    await deploy(localTarget, context(verify), next);
    await until(next.digest);
    expect(callers.failed).toEqual([]);
  }, 120_000);

  it('goes on while the disk is full, and the next deploy finishes', async ({ skip }) => {
    const place = join(root, 'full');
    await mkdir(place);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', place], { stdio: 'pipe' });
    } catch (error) {
      process.stderr.write(`skipped: no tmpfs can be mounted here: ${String(error)}\n`);
      skip();
    }
    try {
      const full = { ...context(), options: localTarget.options.parse({ directory: place }) };
      const [next, current] = await nextAndCurrent();
      await deploy(localTarget, full, current);
      const { bavail, bsize } = await statfs(place);
      // A page is left, so that the lock can be taken and the model cannot be copied.
      await writeFile(join(place, 'ballast'), Buffer.alloc(bavail * bsize - 3 * bsize));
      await expect(deploy(localTarget, full, next)).rejects.toMatchObject({ code: 'MAAS_DISK' });
      expect(await localTarget.current(full)).toBe(current.digest);
      await rm(join(place, 'ballast'));
      await deploy(localTarget, full, next);
      expect(await localTarget.current(full)).toBe(next.digest);
    } finally {
      execFileSync('umount', [place]);
    }
    expect(callers.failed).toEqual([]);
  }, 60_000);

  it('has answered at least 20,000 requests by then, and failed none', async () => {
    while (callers.answered < 20_000) await wait(100);
    expect(callers.failed).toEqual([]);
    process.stderr.write(`${callers.answered} requests answered, ${callers.failed.length} failed\n`);
  }, 120_000);
});
