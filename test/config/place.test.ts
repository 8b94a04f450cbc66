import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadProject, placeIn, type ConfigPath } from '../../src/config/index.js';
import type { Place } from '../../src/errors.js';
import type { Project } from '../../src/plugin/api.js';
import { sampleRegistry } from './sample-registry.js';

let folder: string;
let project: Project;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maas-place-'));
  const file = join(folder, 'maas.config.yaml');
  await writeFile(file, 'name: iris\ndata: {source: a.csv, target: kind}\ntrain:\n  model: layers\n');
  project = await loadProject({ file, env: {}, set: ['seed=7'], registry: sampleRegistry });
});
afterAll(() => rm(folder, { recursive: true }));

describe('placeIn', () => {
  it.each<[ConfigPath, Partial<Place>]>([
    [['data', 'target'], { line: 2, column: 31 }],
    [['train', 'model'], { line: 4, column: 10 }],
    // What is left out is placed where it would be written.
    [['train', 'model', 'units'], { line: 4, column: 3 }],
    [['train', 'epochs'], { line: 3, column: 1 }],
  ])('finds %j', (path, place) => {
    expect(placeIn(project, path)).toMatchObject({ file: project.configFile, ...place });
  });

  it('shows the lines around it, with a marker', () => {
    expect(placeIn(project, ['train', 'model']).frame).toBe(
      ' 3 | train:\n 4 |   model: layers\n   |          ^^^^^^',
    );
  });

  it('points at the command line for what came by --set', () => {
    expect(placeIn(project, ['seed'])).toMatchObject({ file: '--set' });
  });

  it('names the file alone for what is not there at all, and for projects made without one', () => {
    expect(placeIn(project, ['compress', 'passes'])).toEqual({ file: project.configFile });
    const { placeOf, ...made } = project;
    expect(placeOf).toBeDefined();
    expect(placeIn(made, ['seed'])).toEqual({ file: project.configFile });
  });
});
