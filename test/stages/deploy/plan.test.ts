import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTarget, planDeploy } from '../../../src/stages/deploy/index.js';
import { describePlan } from '../../../src/ui/deploy-plan.js';
import { type Built, buildRelease, makeModel, makeRelease, registry, runEffect } from './make-release.js';

const { signal } = new AbortController();
let root: string;
let first: Built;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-plan-'));
  first = await makeRelease(root);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const plan = ({ project, store, artifact }: Built) =>
  planDeploy(openTarget({ project, registry, signal }), store, artifact);

describe('the plan of a deploy', () => {
  it('tells what comes, what changes, and when there is nothing to do, and changes nothing', async () => {
    const { project, store, artifact } = first;
    const before = await plan(first);
    expect(before).toMatchObject({ target: 'local', current: undefined, release: artifact.digest });
    expect(before.files!.every(({ change }) => change === 'added')).toBe(true);
    expect(before.steps).toEqual(['copy the release', 'verify it', 'switch to it', 'remove old releases']);
    expect(
      await openTarget({ project, registry, signal }).target.list(
        openTarget({ project, registry, signal }).context,
      ),
    ).toEqual([]);
    await runEffect(first);
    expect(await plan(first)).toMatchObject({ current: artifact.digest, steps: [] });

    const next = await buildRelease(project, store, await makeModel(project, store, 8));
    const { files, metrics, current } = await plan(next);
    expect(current).toBe(artifact.digest);
    expect(Object.fromEntries(files!.map(({ file, change }) => [file, change]))).toEqual({
      'golden.json': 'changed',
      'model.onnx': 'changed',
      'provenance.intoto.jsonl': 'changed',
      'reference.json': 'changed',
      'sbom.cdx.json': 'changed',
      'signature.json': 'same',
    });
    expect(metrics).toEqual([{ metric: 'accuracy', from: 0.5, to: 0.58 }]);
    const text = describePlan(await plan(next), { color: false });
    expect(text).toContain(`${artifact.digest.slice(0, 12)} → ${next.artifact.digest.slice(0, 12)}`);
    expect(text).toMatch(/accuracy +0\.5 +0\.58/);
  });
});
