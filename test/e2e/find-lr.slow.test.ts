import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maasJson, makeProject, startMaas, type TemporaryProject } from './maas.js';

interface Found {
  readonly setting: string;
  readonly suggestion: number;
  readonly points: readonly { readonly learningRate: number; readonly loss: number }[];
}

/** Files below a folder, but for empty folders. */
async function filesIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

describe('maas train --find-lr', () => {
  let project: TemporaryProject;
  beforeAll(async () => {
    project = await makeProject();
  });
  afterAll(() => project.remove());

  it('tries rates from small to great, suggests one that trains, and leaves nothing behind', async () => {
    const found = await maasJson<Found>(project.path, ['train', '--find-lr']);
    const rates = found.points.map(({ learningRate }) => learningRate);
    expect(rates).toEqual(rates.toSorted((a, b) => a - b));
    expect(rates[0]).toBeCloseTo(1e-7, 12);
    expect(found.points.length).toBeGreaterThan(30);
    expect(await filesIn(join(project.path, '.maas'))).toEqual([]);
    expect(await maasJson(project.path, ['train', '--find-lr'])).toEqual(found);
    const trained = await maasJson<{ metrics: { accuracy: number } }>(project.path, [
      'train',
      '--set',
      `${found.setting}=${found.suggestion}`,
    ]);
    expect(trained.metrics.accuracy).toBeGreaterThan(0.8);
  }, 60_000);

  it('stops when it is told to, and leaves nothing behind', async () => {
    const before = await filesIn(join(project.path, '.maas'));
    const wide = 'train.model={preset: {mlp: {units: [2048, 2048]}}}';
    const { child, ended } = startMaas(project.path, ['train', '--find-lr', '--set', wide]);
    const work = join(project.path, '.maas', 'work', 'train');
    while ((await readdir(work).catch(() => [])).length === 0) await sleep(20);
    child.kill('SIGINT');
    expect((await ended).code).toBe(130);
    expect(await filesIn(join(project.path, '.maas'))).toEqual(before);
  }, 60_000);
});
