import { execa } from 'execa';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Release, TargetContext } from '../../../../../src/plugin/api.js';
import { dockerTarget, podmanTarget } from '../../../../../src/stages/deploy/index.js';
import { makeContainerTarget } from '../../../../../src/stages/deploy/targets/container/index.js';
import { collectParts } from '../../../../../src/stages/deploy/targets/oci/parts.js';
import { deploy, makeContext, makeRoot } from '../../../../conformance/target-suite.js';
import { buildRelease, makeModel, makeProject, makeRelease } from '../../make-release.js';
import { podmanEnvironment, whyNoPodman } from '../podman.js';

let root: string;
let releases: [Release, Release, Release];
let port: number;
beforeAll(async () => {
  root = await makeRoot('maas-podman-');
  Object.assign(process.env, podmanEnvironment(root));
  const project = await makeProject(join(root, 'project'));
  const first = await makeRelease(root, 0, project);
  const others = [8, 16].map(async (variant) => {
    const model = await makeModel(project, first.store, variant);
    return (await buildRelease(project, first.store, model)).artifact;
  });
  releases = [first.artifact, ...(await Promise.all(others))] as never;
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  port = (server.address() as AddressInfo).port;
  await new Promise((resolve) => server.close(resolve));
}, 120_000);
afterAll(async () => {
  await execa('podman', ['rm', '--force', '--all', '--time', '0'], { reject: false });
  await rm(root, { recursive: true, force: true });
});

function contextWith(options: object = {}, keep = 5): TargetContext {
  const context = makeContext(root, podmanTarget.options.parse({ name: 'things', port, ...options }), keep);
  return { ...context, project: { ...context.project, name: 'things' } };
}

async function ask(): Promise<string | undefined> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/v2/models/things`, {
      signal: AbortSignal.timeout(2000),
    });
    return ((await answer.json()) as { versions: string[] }).versions[0];
  } catch {
    return undefined;
  }
}

describe.skipIf(whyNoPodman() !== undefined)('a container that podman runs', { timeout: 240_000 }, () => {
  it('is tried on a spare port, changes places with the former one, and goes back', async ({ skip }) => {
    const context = contextWith();
    const [a, b] = releases;
    expect(await podmanTarget.current(context)).toBeUndefined();
    try {
      await deploy(podmanTarget, context, a);
    } catch (error) {
      if (!/namespace|permission|cgroup|mount/i.test(String(error))) throw error;
      process.stderr.write(`skipped: podman runs no container here: ${String(error)}\n`);
      skip();
    }
    expect(await ask()).toBe(a.digest);
    await deploy(podmanTarget, context, b);
    expect(await ask()).toBe(b.digest);
    expect(await podmanTarget.current(context)).toBe(b.digest);
    const { stdout } = await execa('podman', ['ps', '--all', '--format', '{{.Names}}']);
    expect(stdout).toBe('things');
    expect(await podmanTarget.rollback(context, 1)).toBe(a.digest);
    expect(await ask()).toBe(a.digest);
    const list = await podmanTarget.list(context);
    expect(list.map(({ digest, current }) => [digest, current])).toEqual([
      [a.digest, true],
      [b.digest, false],
    ]);
  });

  it('is left as it was when the next one answers wrong', async () => {
    const [a, b] = releases;
    const wrong = { ...b, path: join(root, 'wrong') };
    await execa('cp', ['-r', b.path, wrong.path]);
    await execa('chmod', ['-R', 'u+w', wrong.path]);
    const golden = join(wrong.path, 'golden.json');
    const told = JSON.parse(await readFile(golden, 'utf8')) as {
      outputs: { probabilities: { data: number[] } };
    };
    told.outputs.probabilities.data[0]! += 0.5;
    await writeFile(golden, JSON.stringify(told));
    const [, , switchStep] = podmanTarget.steps(contextWith(), wrong);
    expect(switchStep!.title).toBe('switch to it');
    await expect(switchStep!.run(() => undefined)).rejects.toMatchObject({ code: 'MAAS_VERIFY_FAILED' });
    expect(await ask()).toBe(a.digest);
    expect(await podmanTarget.current(contextWith())).toBe(a.digest);
  });

  it('answers again when the one after it does not start, and after a deploy that was killed in between', async () => {
    const [a, , c] = releases;
    // Too little memory for Node to start in.
    await expect(deploy(podmanTarget, contextWith({ memory: '6m', timeout: 20 }), c)).rejects.toMatchObject({
      code: expect.stringMatching(/MAAS_(VERIFY_FAILED|PROGRAM)/) as string,
    });
    expect(await ask()).toBe(a.digest);
    // As a kill between two renames leaves it.
    await execa('podman', ['rename', 'things', 'things-former']);
    await execa('podman', ['stop', 'things-former']);
    expect(await ask()).toBeUndefined();
    await deploy(podmanTarget, contextWith({}, 2), c);
    expect(await ask()).toBe(c.digest);
    expect((await podmanTarget.list(contextWith())).map(({ digest }) => digest)).toEqual([
      c.digest,
      a.digest,
    ]);
    const { stdout } = await execa('podman', ['images', '--format', '{{.Tag}}']);
    expect(stdout.split('\n')).not.toContain(releases[1].digest.slice(0, 32));
  });
});

describe('a container engine', () => {
  it('that is not there is named', async () => {
    const path = process.env['PATH'];
    process.env['PATH'] = join(root, 'nothing');
    try {
      await expect(dockerTarget.current(contextWith())).rejects.toMatchObject({
        code: 'MAAS_PROGRAM',
        message: 'docker is not installed',
      });
    } finally {
      process.env['PATH'] = path;
    }
  });

  it('that has no daemon says so', async ({ skip }) => {
    if ((await execa('docker', ['info'], { reject: false })).exitCode === 0) skip();
    const target = makeContainerTarget('docker', collectParts);
    await expect(target.current(contextWith())).rejects.toMatchObject({ code: 'MAAS_PROGRAM' });
  });
});
