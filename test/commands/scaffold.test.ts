import { existsSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deriveName, scaffold } from '../../src/commands/scaffold/scaffold.js';
import { findTemplate, listTemplates } from '../../src/commands/scaffold/templates.js';

const installation = { path: fileURLToPath(new URL('../..', import.meta.url)), version: '1.2.3' };
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maas-scaffold-'));
});
afterEach(() => rm(folder, { recursive: true }));

const make = (target: string, force = false) =>
  scaffold({ template: findTemplate(installation.path, 'tabular-classifier'), target, installation, force });
const readJson = async (path: string) => JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;

describe('scaffold', () => {
  it('copies the template under the name of the folder', async () => {
    const target = join(folder, 'My Flowers!');
    const made = await make(target);
    expect(made.name).toBe('my-flowers');
    expect(made.files).toContain('.gitignore');
    expect(made.files).toContain(join('data', 'iris.csv'));
    expect(await readFile(join(target, 'maas.config.yaml'), 'utf8')).toMatch(/^name: my-flowers$/m);
    expect(await readJson(join(target, 'package.json'))).toMatchObject({
      name: 'my-flowers',
      private: true,
      dependencies: { 'maas-cli': '^1.2.3' },
    });
    expect(existsSync(join(target, 'gitignore'))).toBe(false);
  });

  it('links the running maas, so that npx finds it', async () => {
    const target = join(folder, 'linked');
    expect((await make(target)).linked).toBe(true);
    expect(await readlink(join(target, 'node_modules', 'maas-cli'))).toBe(installation.path);
    const bin = join(target, 'node_modules', '.bin', 'maas');
    expect(await readFile(bin, 'utf8')).toBe(
      await readFile(join(installation.path, 'bin', 'run.js'), 'utf8'),
    );
  });

  it('leaves an installed maas-cli alone', async () => {
    const installed = join(folder, 'node_modules', 'maas-cli');
    await mkdir(installed, { recursive: true });
    await writeFile(join(installed, 'package.json'), '{"name":"maas-cli","version":"1.0.0"}');
    const target = join(folder, 'inside');
    expect((await make(target)).linked).toBe(false);
    expect(existsSync(join(target, 'node_modules'))).toBe(false);
  });

  it('replaces a dangling link', async () => {
    const target = join(folder, 'again');
    await make(target);
    await rm(join(target, 'node_modules', 'maas-cli'));
    expect((await make(target, true)).linked).toBe(true);
    expect((await lstat(join(target, 'node_modules', 'maas-cli'))).isSymbolicLink()).toBe(true);
  });

  it('refuses a folder with something in it, and fills one that only has .git', async () => {
    await mkdir(join(folder, 'full'));
    await writeFile(join(folder, 'full', 'notes.txt'), 'mine');
    await expect(make(join(folder, 'full'))).rejects.toMatchObject({ code: 'MAAS_TARGET_NOT_EMPTY' });
    await mkdir(join(folder, 'fresh', '.git'), { recursive: true });
    await expect(make(join(folder, 'fresh'))).resolves.toMatchObject({ name: 'fresh' });
  });

  it('keeps what is there with force, and only adds to package.json', async () => {
    const target = join(folder, 'existing');
    await mkdir(target);
    await writeFile(join(target, 'notes.txt'), 'mine');
    await writeFile(
      join(target, 'package.json'),
      '{"name":"kept","scripts":{"start":"node x"},"dependencies":{"zod":"4"}}',
    );
    await make(target, true);
    expect(await readFile(join(target, 'notes.txt'), 'utf8')).toBe('mine');
    expect(await readJson(join(target, 'package.json'))).toMatchObject({
      name: 'kept',
      scripts: { start: 'node x', serve: 'maas serve' },
      dependencies: { zod: '4', 'maas-cli': '^1.2.3' },
    });
  });

  it('says where it cannot write', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(make(join(folder, 'file', 'project'))).rejects.toMatchObject({ code: 'MAAS_DISK' });
  });
});

describe('templates', () => {
  it('lists each with a summary', () => {
    const templates = listTemplates(installation.path);
    expect(templates.map(({ name }) => name)).toContain('tabular-classifier');
    for (const { name, summary, path } of templates) {
      expect(summary, name).toMatch(/^[A-Z].+\.$/);
      expect(basename(path)).toBe(name);
    }
  });

  it('suggests a template for a misspelt one', () => {
    expect(() => findTemplate(installation.path, 'tabular-clasifier')).toThrow(
      expect.objectContaining({
        code: 'MAAS_TEMPLATE_UNKNOWN',
        hint: expect.stringContaining('Did you mean "tabular-classifier"?') as string,
      }),
    );
  });
});

describe('deriveName', () => {
  it.each([
    ['/a/Iris Überblick', 'iris-uberblick'],
    ['/a/--x--', 'x'],
    ['/a/日本', 'model'],
    ['/a/v2.0_final', 'v2-0-final'],
  ])('%s → %s', (target, name) => {
    expect(deriveName(target)).toBe(name);
  });
});
