import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { maas, maasJson } from './maas.js';

it('makes a project that runs at once with npx', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'maas-init-'));
  try {
    const made = await maas(folder, ['init', 'flowers']);
    expect(made.code).toBe(0);
    expect(made.stdout).toContain('  cd flowers\n  npx maas run');
    const project = join(folder, 'flowers');
    // --no-install: what npx runs must be there already.
    const run = await execa('npx', ['--no-install', 'maas', 'run', '--json', '--quiet'], { cwd: project });
    expect(JSON.parse(run.stdout)).toMatchObject({ status: 'done' });
    expect(await maasJson(project, ['status'])).toMatchObject({ name: 'flowers' });

    const again = await maas(folder, ['init', 'flowers']);
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('error[MAAS_TARGET_NOT_EMPTY]');
    const unknown = await maas(folder, ['init', 'other', '--template', 'tabular']);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/There are: .*tabular-classifier/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 60_000);
