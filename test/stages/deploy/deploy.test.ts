import { chmod, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStore } from '../../../src/artifacts/index.js';
import type { Registry, Target } from '../../../src/plugin/api.js';
import { deployOptions } from '../../../src/stages/deploy/config.js';
import type { Golden } from '../../../src/stages/deploy/golden.js';
import {
  currentReleaseLink,
  deployStage,
  listReleases,
  openTarget,
  rollbackRelease,
} from '../../../src/stages/deploy/index.js';
import {
  type Built,
  buildRelease,
  makeModel,
  makeProject,
  makeRelease,
  registry,
  runEffect,
  stageContext,
} from './make-release.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-deploy-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

function open({ project }: Built) {
  return openTarget({ project, registry, signal: new AbortController().signal });
}

function inPlace({ project, store, model, artifact }: Built): Promise<boolean> {
  return deployStage.effect!.inPlace(stageContext(project, store, model), artifact);
}

/** A release of the same model whose golden outputs are not what the model answers. */
async function makeWrong(built: Built): Promise<Built> {
  const staging = await built.store.stage('deploy');
  for (const name of ['model.onnx', 'signature.json']) {
    await writeFile(join(staging.path, name), await readFile(join(built.artifact.path, name)));
  }
  const golden = JSON.parse(await readFile(join(built.artifact.path, 'golden.json'), 'utf8')) as Golden;
  const outputs = golden.outputs['probabilities']!.data.map((value) => 1 - Number(value));
  const wrong = {
    ...golden,
    outputs: { ...golden.outputs, probabilities: { ...golden.outputs['probabilities'], data: outputs } },
  };
  await writeFile(join(staging.path, 'golden.json'), JSON.stringify(wrong));
  return { ...built, artifact: await staging.commit(built.artifact.manifest) };
}

describe('deploy with the server that will serve the release', () => {
  it('switches to a release that proved itself, and back', async () => {
    const first = await makeRelease(join(root, 'project'));
    await expect(currentReleaseLink(open(first))).rejects.toMatchObject({ code: 'MAAS_RELEASE_MISSING' });
    expect(await inPlace(first)).toBe(false);
    await runEffect(first);
    expect(await inPlace(first)).toBe(true);
    const { verify } = first.result.measured as { verify: Record<string, number> };
    expect(verify['rows']).toBeGreaterThan(10);
    expect(verify['maxError']).toBeLessThan(1e-4);
    expect(verify['readyMs']).toBeGreaterThan(0);

    const second = await buildRelease(
      first.project,
      first.store,
      await makeModel(first.project, first.store, 1),
    );
    await runEffect(second);
    expect(await inPlace(first)).toBe(false);
    expect((await listReleases(open(first))).map(({ digest }) => digest)).toEqual([
      second.artifact.digest,
      first.artifact.digest,
    ]);
    expect(await rollbackRelease(open(first), 1)).toBe(first.artifact.digest);
    expect(await realpath(await currentReleaseLink(open(first)))).toContain(first.artifact.digest);
  });

  it('never switches to a release that answers something else', async () => {
    const good = await makeRelease(join(root, 'project'));
    await runEffect(good);
    const bad = await makeWrong(good);
    // The server itself refuses to warm up with it, and says so.
    await expect(runEffect(bad)).rejects.toMatchObject({
      code: 'MAAS_VERIFY_FAILED',
      message: expect.stringContaining('probabilities') as string,
    });
    expect(await inPlace(good)).toBe(true);
  });
});

describe('in place', () => {
  it('is no release whose copy at the target is damaged', async () => {
    const built = await makeRelease(join(root, 'project'));
    await runEffect(built);
    const model = join(await currentReleaseLink(open(built)), 'model.onnx');
    await chmod(model, 0o644);
    await writeFile(model, 'x');
    expect(await inPlace(built)).toBe(false);
  });
});

describe('the deploy section', () => {
  const schema = deployOptions(registry);

  it('has defaults for all of it', () => {
    expect(schema.parse({})).toEqual({
      target: { name: 'local', options: { directory: '.maas/deploy' } },
      keep: 5,
      verify: { timeout: 30 },
    });
  });

  it('takes the options of the target', () => {
    expect(schema.parse({ target: { local: { directory: 'x' } } }).target.options).toEqual({
      directory: 'x',
    });
  });

  it.each([
    [{ target: 'moon' }, 'target'],
    [{ target: { local: { directry: 'x' } } }, 'target.local'],
    [{ keep: 1 }, 'keep'],
    [{ verify: { timeout: 0 } }, 'verify.timeout'],
    [{ kep: 3 }, ''],
  ])('refuses %j', (section, path) => {
    const { error } = schema.safeParse(section);
    expect(error?.issues.map((issue) => issue.path.join('.'))).toEqual([path]);
  });

  it('does not change the release: one release goes to every place', () => {
    const [here, there] = [{}, { target: { local: { directory: 'x' } }, keep: 9 }].map((section) =>
      schema.parse(section),
    );
    expect(deployStage.artifactOptions!(here)).toEqual(deployStage.artifactOptions!(there));
  });
});

describe('a target of a plugin', () => {
  it('is given what it needs, and may run its releases elsewhere', async () => {
    const seen: unknown[] = [];
    const moon: Target = {
      ...registry.targets.get('local')!,
      name: 'moon',
      link: undefined,
      current: (context) => {
        seen.push(context.options, context.keep);
        return Promise.resolve(undefined);
      },
    };
    const others: Registry = { ...registry, targets: new Map([...registry.targets, ['moon', moon]]) };
    const project = await makeProject(root);
    const section = deployOptions(others).parse({ target: { moon: { directory: 'crater' } }, keep: 3 });
    const away = { ...project, config: { ...project.config, deploy: section } };
    const store = openStore(join(root, '.maas'));
    const built = await buildRelease(project, store, await makeModel(project, store));
    const context = { ...stageContext(away, store, built.model), registry: others };
    expect(await deployStage.effect!.inPlace(context, built.artifact)).toBe(false);
    expect(seen).toEqual([{ directory: 'crater' }, 3]);
    await expect(currentReleaseLink(openTarget(context))).rejects.toThrow(/elsewhere/);
  });
});
