import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { listPreparations } from '../../src/commands/scaffold/list-preparations.js';
import { findTemplate } from '../../src/commands/scaffold/templates.js';

const maas = fileURLToPath(new URL('../..', import.meta.url));

it('names what a template needs and nobody has', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'maas-prepare-'));
  const [project, bare] = [join(folder, 'project'), join(folder, 'bare')];
  const ask = (template: string, installation: string) =>
    listPreparations(findTemplate(maas, template), project, installation);
  try {
    expect(ask('tabular-classifier', bare)).toEqual([]);
    expect(ask('image-classifier', bare)).toEqual(['npm install sharp']);
    // This checkout has it.
    expect(ask('image-classifier', maas)).toEqual([]);
    expect(ask('pytorch', bare)).toEqual([
      'python3 -m venv .venv && .venv/bin/pip install -r requirements.txt',
    ]);
    await mkdir(join(project, 'node_modules', 'sharp'), { recursive: true });
    await writeFile(join(project, 'node_modules', 'sharp', 'index.js'), '');
    expect(ask('image-classifier', bare)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
