import { existsSync } from 'node:fs';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStore } from '../../src/artifacts/index.js';
import { MaasError } from '../../src/errors.js';
import type { Release, Target, TargetContext } from '../../src/plugin/api.js';

/** A new folder, in memory where there is one: these tests are about what happens in which order, not about the disk. */
export function makeRoot(prefix: string): Promise<string> {
  return mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), prefix));
}

/** A release with nothing in it that could run: targets look at the manifest only, and `verify` is the suite's. */
export async function makePlainRelease(root: string, content: string): Promise<Release> {
  const staging = await openStore(join(root, '.maas')).stage('deploy');
  await writeFile(join(staging.path, 'model.onnx'), content.repeat(1000));
  await writeFile(join(staging.path, 'signature.json'), '{}');
  await writeFile(join(staging.path, 'golden.json'), `"${content}"`);
  return staging.commit({
    stage: 'deploy',
    kind: 'release',
    name: 'plain',
    seed: 0,
    inputs: {},
    options: '',
    key: {},
    toolchain: {},
    metrics: {},
  });
}

export function makeContext(root: string, options: unknown, keep = 5): TargetContext {
  return {
    project: {
      name: 'plain',
      seed: 0,
      root,
      configFile: join(root, 'maas.config.yaml'),
      config: {},
    },
    options,
    keep,
    signal: new AbortController().signal,
    verify: () => Promise.resolve({ readyMs: 1, rows: 1, maxError: 0 }),
  };
}

export async function deploy(target: Target, context: TargetContext, release: Release): Promise<void> {
  for (const step of target.steps(context, release)) await step.run(() => undefined);
}

/**
 * What every target does, whatever it runs releases on.
 * @param options The target's options before validation; made anew for each test.
 */
export function describeTarget(target: Target, options: () => unknown): void {
  describe(`target ${target.name}`, () => {
    let root: string;
    let parsed: unknown;
    let context: TargetContext;
    let releases: Release[];

    beforeEach(async () => {
      root = await makeRoot('maas-target-');
      parsed = target.options.parse(options());
      context = makeContext(root, parsed);
      releases = await Promise.all(['a', 'b', 'c', 'd'].map((content) => makePlainRelease(root, content)));
    });
    afterEach(() => rm(root, { recursive: true, force: true }));

    async function deployAll(count: number): Promise<void> {
      for (const release of releases.slice(0, count)) await deploy(target, context, release);
    }
    async function listed(): Promise<string[]> {
      return (await target.list(context)).map(({ digest }) => digest);
    }

    it('has nothing at first, and makes nothing when it is asked', async () => {
      expect(await target.current(context)).toBeUndefined();
      expect(await target.list(context)).toEqual([]);
      await expect(target.rollback(context, 1)).rejects.toMatchObject({ code: 'MAAS_RELEASE_MISSING' });
    });

    it('switches to what is deployed', async () => {
      for (const release of releases) {
        await deploy(target, context, release);
        expect(await target.current(context)).toBe(release.digest);
        if (target.link) expect(basename(await realpath(target.link(context)))).toBe(release.digest);
      }
    });

    it('lists releases, the current one first, then by when they were switched to', async () => {
      await deployAll(3);
      const list = await target.list(context);
      const [a, b, c] = releases.map(({ digest }) => digest);
      expect(list.map(({ digest }) => digest)).toEqual([c, b, a]);
      expect(list.map(({ current }) => current)).toEqual([true, false, false]);
      for (const { deployedAt } of list) expect(Date.now() - Date.parse(deployedAt!)).toBeLessThan(60_000);
    });

    it('changes nothing when the current release is deployed again', async () => {
      await deployAll(2);
      const before = await target.list(context);
      await deploy(target, context, releases[1]!);
      expect(await target.list(context)).toEqual(before);
    });

    it('verifies the release before it switches, and stays where it is when that fails', async () => {
      await deployAll(1);
      const seen: (string | undefined)[] = [];
      const strict: TargetContext = {
        ...context,
        async verify(release) {
          seen.push(release.digest, await target.current(context));
          throw new MaasError('MAAS_VERIFY_FAILED', 'wrong answers');
        },
      };
      await expect(deploy(target, strict, releases[1]!)).rejects.toMatchObject({
        code: 'MAAS_VERIFY_FAILED',
      });
      expect(seen).toEqual([releases[1]!.digest, releases[0]!.digest]);
      expect(await target.current(context)).toBe(releases[0]!.digest);
    });

    it('goes back one release at a time, past those that were rolled back', async () => {
      await deployAll(3);
      const [a, b, , d] = releases.map(({ digest }) => digest);
      expect(await target.rollback(context, 1)).toBe(b);
      expect(await target.current(context)).toBe(b);
      expect(await target.rollback(context, 1)).toBe(a);
      await expect(target.rollback(context, 1)).rejects.toMatchObject({ code: 'MAAS_RELEASE_MISSING' });
      expect(await target.current(context)).toBe(a);
      await deploy(target, context, releases[3]!);
      expect(await target.current(context)).toBe(d);
      expect(await target.rollback(context, 1)).toBe(a);
    });

    it('goes back several releases at once', async () => {
      await deployAll(4);
      expect(await target.rollback(context, 3)).toBe(releases[0]!.digest);
      await deployAll(4);
      await expect(target.rollback(context, 4)).rejects.toThrow(/cannot go back 4/);
    });

    it('counts a release once that was deployed twice', async () => {
      const [a, b, c] = releases as [Release, Release, Release];
      for (const release of [a, b, a, c]) await deploy(target, context, release);
      expect(await target.rollback(context, 1)).toBe(a.digest);
      expect(await target.rollback(context, 1)).toBe(b.digest);
    });

    it('keeps as many releases as it is told to', async () => {
      context = makeContext(root, parsed, 2);
      await deployAll(4);
      expect(await listed()).toEqual([releases[3]!.digest, releases[2]!.digest]);
      expect(await target.rollback(context, 1)).toBe(releases[2]!.digest);
    });

    it('removes old releases when it is asked to, and tells how many', async () => {
      await deployAll(4);
      expect(await target.prune(context)).toBe(0);
      expect(await target.prune(makeContext(root, parsed, 2))).toBe(2);
      expect(await listed()).toEqual([releases[3]!.digest, releases[2]!.digest]);
    });

    it('never removes the current release or the one to go back to', async () => {
      await deployAll(4);
      await target.rollback(context, 2);
      context = makeContext(root, parsed, 2);
      // b is current and a is before it, though c and d are newer.
      await deploy(target, context, releases[1]!);
      expect(await listed()).toContain(releases[0]!.digest);
      expect(await target.rollback(context, 1)).toBe(releases[0]!.digest);
    });

    it('finishes a deploy that stopped after any step', async () => {
      await deployAll(1);
      const count = target.steps(context, releases[1]!).length;
      for (let stop = 0; stop <= count; stop += 1) {
        const next = await makePlainRelease(root, `next ${stop}`);
        for (const step of target.steps(context, next).slice(0, stop)) await step.run(() => undefined);
        await deploy(target, context, next);
        expect(await target.current(context)).toBe(next.digest);
      }
    });
  });
}
