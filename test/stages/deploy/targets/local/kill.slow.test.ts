import { cp, readdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Release, TargetContext } from '../../../../../src/plugin/api.js';
import { localTarget } from '../../../../../src/stages/deploy/index.js';
import { checkRelease } from '../../../../../src/stages/deploy/release-folder.js';
import { deploy, makeContext, makePlainRelease, makeRoot } from '../../../../conformance/target-suite.js';

const script = fileURLToPath(new URL('./dies-at.mjs', import.meta.url));
let root: string;
let start: string;
let releases: Release[];

beforeAll(async () => {
  root = await makeRoot('maas-kill-');
  start = join(root, 'start');
  releases = await Promise.all(['a', 'b', 'c', 'd'].map((content) => makePlainRelease(root, content)));
  for (const release of releases.slice(0, 3)) await deploy(localTarget, contextIn(start), release);
});
afterAll(() => rm(root, { recursive: true, force: true }));

function contextIn(folder: string): TargetContext {
  return makeContext(folder, localTarget.options.parse({}), 2);
}

/** Runs `task` in a copy of the start, killed before its n-th change of the disk; 0 lets it live. */
async function runAndKill(task: string, dieAt: number) {
  const folder = join(root, `${dieAt}-${task === 'rollback' ? 'rollback' : 'deploy'}`);
  await cp(start, folder, { recursive: true, verbatimSymlinks: true });
  const { stdout, signal } = await execa(process.execPath, [script, folder, task, String(dieAt)], {
    reject: false,
  });
  return { folder, context: contextIn(folder), stdout, signal };
}

/** Two at a time: as many as there are cores on a small machine. */
async function forEachKill(count: number, check: (dieAt: number) => Promise<void>): Promise<void> {
  const points = Array.from({ length: count }, (_, index) => index + 1);
  const work = async () => {
    for (let point = points.shift(); point !== undefined; point = points.shift()) await check(point);
  };
  await Promise.all([work(), work()]);
}

async function currentWhole(context: TargetContext): Promise<string> {
  await checkRelease(await realpath(localTarget.link!(context)));
  return (await localTarget.current(context))!;
}

describe('a deploy that is killed', () => {
  it('leaves a whole release current at every instant, and is finished by the next one', async () => {
    const [, , c, d] = releases as [Release, Release, Release, Release];
    const unbroken = await runAndKill(d.path, 0);
    const changes = Number(unbroken.stdout);
    expect(changes).toBeGreaterThan(20);
    const seen = new Set<string>();
    await forEachKill(changes, async (dieAt) => {
      const { folder, context, signal } = await runAndKill(d.path, dieAt);
      expect(signal).toBe('SIGKILL');
      const between = await currentWhole(context);
      seen.add(between);
      expect([c.digest, d.digest]).toContain(between);
      // The journal tells the same as the link, whichever of the two the kill came between.
      const past = await localTarget.list(context);
      expect(past.find(({ current }) => current)?.digest).toBe(between);

      await deploy(localTarget, context, d);
      expect(await currentWhole(context)).toBe(d.digest);
      expect((await readdir(join(folder, '.maas/deploy'))).sort()).toEqual([
        'current',
        'history.jsonl',
        'releases',
        'tmp',
      ]);
      expect(await readdir(join(folder, '.maas/deploy/tmp'))).toEqual([]);
      expect((await readdir(join(folder, '.maas/deploy/releases'))).sort()).toEqual(
        [c.digest, d.digest].sort(),
      );
      expect(await localTarget.rollback(context, 1)).toBe(c.digest);
      expect(await currentWhole(context)).toBe(c.digest);
    });
    expect(seen).toEqual(new Set([c.digest, d.digest]));
  }, 90_000);

  it('is told from a rollback that is killed', async () => {
    const [, b, c] = releases as [Release, Release, Release];
    const changes = Number((await runAndKill('rollback', 0)).stdout);
    await forEachKill(changes, async (dieAt) => {
      const { context, signal } = await runAndKill('rollback', dieAt);
      expect(signal).toBe('SIGKILL');
      const between = await currentWhole(context);
      expect([b.digest, c.digest]).toContain(between);
      if (between === c.digest) expect(await localTarget.rollback(context, 1)).toBe(b.digest);
      // Nothing lies before b: a was removed, and c was rolled back.
      await expect(localTarget.rollback(context, 1)).rejects.toMatchObject({ code: 'MAAS_RELEASE_MISSING' });
    });
  }, 60_000);
});
