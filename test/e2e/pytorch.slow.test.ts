import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maas, maasJson, startMaas, type StageJson } from './maas.js';

/** A Python with what templates/pytorch/requirements.txt lists. */
const python = process.env['PYTHON'] ?? 'python3';
const hasTorch = spawnSync(python, ['-c', 'import numpy, onnx, onnxscript, torch']).status === 0;
if (!hasTorch) {
  console.warn(`skipped: ${python} has no torch, onnx and onnxscript; name one that has them in PYTHON`);
}

describe.skipIf(!hasTorch)('the template pytorch', () => {
  let folder: string;
  let project: string;
  beforeAll(async () => {
    process.env['PYTHON'] = python;
    folder = await mkdtemp(join(tmpdir(), 'maas-torch-'));
    project = join(folder, 'irises');
    await maas(folder, ['init', 'irises', '--template', 'pytorch']);
  });
  afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));

  it('trains on two processes, and what it leaves goes through all stages', async () => {
    const { status, stages } = await maasJson<{ status: string; stages: Record<string, StageJson> }>(
      project,
      ['run'],
    );
    expect(status).toBe('done');
    expect(stages['train']!.metrics['accuracy']).toBeGreaterThan(0.85);
    const again = await maasJson<{ status: string }>(project, ['run']);
    expect(again.status).toBe('cached');
  }, 300_000);

  it('goes on from its checkpoint after kill -9, and ends in the same model', async () => {
    const seed = ['train', '--set', 'seed=77'];
    const { child, next, ended } = startMaas(project, seed);
    await next(({ event, epoch }) => event === 'train-progress' && Number(epoch) >= 10);
    child.kill('SIGKILL');
    expect((await ended).signal).toBe('SIGKILL');
    const resumed = await maasJson<StageJson>(project, seed);
    const whole = await maasJson<StageJson>(project, [...seed, '--force']);
    expect(resumed.digest).toBe(whole.digest);
    const history = JSON.parse(await readFile(join(resumed.artifact, 'history.json'), 'utf8')) as {
      epochs: unknown[];
    };
    expect(history.epochs).toHaveLength(40);
  }, 300_000);
});
