import {
  appendFile,
  chmod,
  cp,
  mkdir,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Release, TargetContext } from '../../../../../src/plugin/api.js';
import { localTarget } from '../../../../../src/stages/deploy/index.js';
import { checkRelease } from '../../../../../src/stages/deploy/release-folder.js';
import { deploy, makeContext, makePlainRelease, makeRoot } from '../../../../conformance/target-suite.js';

let root: string;
let folder: string;
let context: TargetContext;
let releases: [Release, Release, Release];

beforeEach(async () => {
  root = await makeRoot('maas-local-');
  folder = join(root, 'place');
  context = makeContext(root, { directory: 'place' });
  releases = (await Promise.all(['a', 'b', 'c'].map((content) => makePlainRelease(root, content)))) as never;
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe('the folder of a local target', () => {
  it('holds read-only copies that are independent of the artifacts', async () => {
    const [a] = releases;
    await deploy(localTarget, context, a);
    const copy = join(folder, 'releases', a.digest);
    for (const name of await readdir(copy)) expect((await stat(join(copy, name))).mode & 0o777).toBe(0o444);
    await appendFile(join(a.path, 'model.onnx'), 'x');
    await checkRelease(copy);
  });

  it('tells when, by whom, from what and to what it was switched', async () => {
    const [a, b] = releases;
    await deploy(localTarget, context, a);
    await deploy(localTarget, context, b);
    await localTarget.rollback(context, 1);
    const text = await readFile(join(folder, 'history.jsonl'), 'utf8');
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toMatchObject([
      { action: 'deploy', from: null, to: a.digest },
      { action: 'deploy', from: a.digest, to: b.digest },
      { action: 'rollback', from: b.digest, to: a.digest },
    ]);
    for (const { at, by } of lines)
      expect(`${String(at)} ${String(by)}`).toMatch(/^\d{4}-\d\d-\d\dT.*Z .+@.+$/);
  });

  it('goes on after its journal was torn or lost', async () => {
    const [a, b, c] = releases;
    await deploy(localTarget, context, a);
    await appendFile(join(folder, 'history.jsonl'), '\n{"at":"20');
    await deploy(localTarget, context, b);
    expect(await localTarget.rollback(context, 1)).toBe(a.digest);
    await rm(join(folder, 'history.jsonl'));
    await deploy(localTarget, context, c);
    expect(await localTarget.rollback(context, 1)).toBe(a.digest);
  });
});

describe('a damaged copy', () => {
  it.each([
    ['changed', async (copy: string) => writeFile(join(copy, 'model.onnx'), 'x')],
    ['cut short', async (copy: string) => writeFile(join(copy, 'golden.json'), '')],
    ['without a file', async (copy: string) => rm(join(copy, 'signature.json'))],
    ['without its manifest', async (copy: string) => rm(join(copy, 'manifest.json'))],
    ['with a stranger in it', async (copy: string) => writeFile(join(copy, 'stranger'), '')],
  ])('%s is mended by the next deploy, even while it is current', async (_, damage) => {
    const [a] = releases;
    await deploy(localTarget, context, a);
    const copy = join(folder, 'releases', a.digest);
    for (const name of await readdir(copy)) await chmod(join(copy, name), 0o644);
    await damage(copy);
    await expect(checkRelease(copy)).rejects.toMatchObject({ code: 'MAAS_ARTIFACT_CORRUPT' });

    const said: string[] = [];
    for (const step of localTarget.steps(context, a)) await step.run((text) => said.push(text));
    expect(said.join()).toContain('mended');
    await checkRelease(await realpath(localTarget.link!(context)));
  });

  it('is not gone back to', async () => {
    const [a, b] = releases;
    await deploy(localTarget, context, a);
    await deploy(localTarget, context, b);
    const model = join(folder, 'releases', a.digest, 'model.onnx');
    await chmod(model, 0o644);
    await writeFile(model, 'x');
    await expect(localTarget.rollback(context, 1)).rejects.toMatchObject({ code: 'MAAS_ARTIFACT_CORRUPT' });
    expect(await localTarget.current(context)).toBe(b.digest);
  });

  it('is not made of a release that is damaged itself', async () => {
    const [a, b] = releases;
    await deploy(localTarget, context, a);
    await writeFile(join(b.path, 'model.onnx'), 'x');
    await expect(deploy(localTarget, context, b)).rejects.toMatchObject({ code: 'MAAS_ARTIFACT_CORRUPT' });
    expect(await localTarget.current(context)).toBe(a.digest);
  });
});

describe('many at once', () => {
  it('lets readers see whole releases only while it is switched a hundred times', async () => {
    for (const release of releases) await deploy(localTarget, context, release);
    const link = localTarget.link!(context);
    let done = false;
    let reads = 0;
    const read = async () => {
      for (; !done; reads += 1) await checkRelease(await realpath(link));
    };
    const readers = [read(), read()];
    for (let count = 0; count < 100; count += 1) {
      const steps = localTarget.steps(context, releases[count % 3]!);
      await steps.find(({ title }) => title.startsWith('switch'))!.run(() => undefined);
    }
    done = true;
    await Promise.all(readers);
    expect(reads).toBeGreaterThan(100);
  });

  it('takes deploys of two projects in turn', async () => {
    const other = makeContext(join(root, 'elsewhere'), { directory: '../place' }, 2);
    const theirs = await Promise.all(['x', 'y', 'z'].map((content) => makePlainRelease(root, content)));
    const deployAll = async (where: TargetContext, all: readonly Release[]) => {
      for (const release of all) await deploy(localTarget, where, release);
    };
    await Promise.all([deployAll({ ...context, keep: 2 }, releases), deployAll(other, theirs)]);
    const last = [releases[2].digest, theirs[2]!.digest];
    expect(last).toContain(await localTarget.current(context));
    await checkRelease(await realpath(localTarget.link!(context)));
    // The one is the newest, the other is what it is rolled back to or has been overtaken by.
    for (const { digest } of await localTarget.list(context))
      await checkRelease(join(folder, 'releases', digest));
    await localTarget.rollback(context, 1);
    await checkRelease(await realpath(localTarget.link!(context)));
  });
});

describe('a release that was never switched to', () => {
  async function stageOnly(release: Release): Promise<string> {
    await localTarget.steps(context, release)[0]!.run(() => undefined);
    return join(folder, 'releases', release.digest);
  }

  it('stays while it may be under verification, and is removed later', async () => {
    const [a, b, c] = releases;
    context = makeContext(root, { directory: 'place' }, 2);
    const staged = await stageOnly(a);
    await deploy(localTarget, context, b);
    await deploy(localTarget, context, c);
    await checkRelease(staged);
    expect((await localTarget.list(context)).at(-1)).toEqual({
      digest: a.digest,
      current: false,
      deployedAt: undefined,
    });
    await utimes(staged, new Date(0), new Date(0));
    await deploy(localTarget, context, c);
    await expect(stat(staged)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('a folder that cannot be used', () => {
  it('is told as a disk error when it is read-only', async () => {
    const [a] = releases;
    await chmod(root, 0o755);
    await mkdir(folder);
    await chmod(folder, 0o555);
    // Root may write anywhere: for the time of the test we are somebody else.
    const isRoot = process.getuid!() === 0;
    const nobody = 65_534;
    if (isRoot) process.seteuid!(nobody);
    try {
      await expect(deploy(localTarget, context, a)).rejects.toMatchObject({ code: 'MAAS_DISK' });
    } finally {
      if (isRoot) process.seteuid!(0);
      await chmod(folder, 0o755);
    }
    await deploy(localTarget, context, a);
  });

  it('is told as a disk error when a file lies in its place', async () => {
    await writeFile(folder, '');
    await expect(deploy(localTarget, context, releases[0])).rejects.toMatchObject({ code: 'MAAS_DISK' });
  });

  it('is left alone when `current` is a folder of somebody', async () => {
    await cp(releases[0].path, join(folder, 'current'), { recursive: true });
    await expect(deploy(localTarget, context, releases[0])).rejects.toMatchObject({
      code: 'MAAS_TARGET_NOT_EMPTY',
    });
  });

  it('does not hold up a run that is interrupted', async () => {
    const abort = new AbortController();
    abort.abort();
    await expect(deploy(localTarget, { ...context, signal: abort.signal }, releases[0])).rejects.toThrow(
      /abort/,
    );
  });
});
