import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Config, settings } from '@oclif/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openProject } from '../../src/config/index.js';
import { MaasError } from '../../src/errors.js';
import type { Project, Registry } from '../../src/plugin/api.js';
import { loadRegistry } from '../../src/plugin/load-registry.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const example = fileURLToPath(new URL('../fixtures/maas-plugin-example', import.meta.url));

const builtIns = `
import { z } from 'maas-cli';
const stage = (name, after, reads, options) =>
  ({ name, summary: name, after, reads, writes: 'model', version: 1, tasks: () => [], options });
export default () => ({
  apiVersion: 1,
  stages: [
    stage('train', undefined, [], (registry) => z.strictObject({ engine: z.enum([...registry.engines.keys()]) })),
    stage('compress', 'train', ['model'], () => z.strictObject({})),
  ],
  engines: [{ name: 'onnx', summary: 'onnx', train: () => undefined }],
});
`;

let folder: string;
let count = 0;
beforeAll(async () => {
  settings.enableAutoTranspile = false;
  folder = await mkdtemp(join(tmpdir(), 'maas-plugins-'));
  // One program for all tests: its built-ins are fewer, but are loaded as the real ones are.
  await writePackage(join(folder, 'program'), 'maas-cli', builtIns);
  await mkdir(join(folder, 'node_modules'));
  await symlink(repository, join(folder, 'node_modules', 'maas-cli'), 'junction');
});
afterAll(() => rm(folder, { recursive: true }));

async function writePackage(path: string, name: string, register?: string): Promise<string> {
  const hooks = register === undefined ? {} : { 'maas:register': './register.js' };
  await writeFiles(path, {
    'package.json': JSON.stringify({ name, version: '1.0.0', type: 'module', oclif: { hooks } }),
    ...(register !== undefined && { 'register.js': register }),
  });
  return path;
}

async function writeFiles(path: string, files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), text);
  }
}

interface Opened {
  project: Project;
  registry: Registry;
}

/** A project whose first line lists `plugins`, in a folder where each of `packages` is installed. */
async function open(plugins: string, packages: Record<string, string | undefined> = {}): Promise<Opened> {
  const root = join(folder, `project-${++count}`);
  await writeFiles(root, {
    'maas.config.yaml': `plugins: ${plugins}
name: iris
data: {source: a.csv, target: b}
train: {engine: onnx}
`,
  });
  for (const [name, register] of Object.entries(packages)) {
    await writePackage(join(root, name.startsWith('.') ? name : `node_modules/${name}`), name, register);
  }
  return openProject({ file: join(root, 'maas.config.yaml'), env: {}, oclif: await program() });
}

async function program(): Promise<Config> {
  return Config.load({ root: join(folder, 'program'), devPlugins: false, userPlugins: false });
}

async function failure(opening: Promise<unknown>): Promise<MaasError> {
  const error: unknown = await opening.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(MaasError);
  return error as MaasError;
}

const engine = (name: string) => `{ name: '${name}', summary: 'An engine', train: () => undefined }`;
const answer = (content: string) => `export default async () => ({ apiVersion: 1, ${content} });`;

describe('project plugins', () => {
  it('bring sections, engines, passes and targets into the config', async () => {
    const root = join(folder, 'complete');
    await cp(example, join(root, 'node_modules', 'maas-plugin-example'), { recursive: true });
    await writeFiles(root, {
      'maas.config.yaml': `plugins: [maas-plugin-example]
name: iris
data: {source: a.csv, target: b}
train: {engine: search}
card: {author: Ada}
`,
    });
    const opened = await openProject({
      file: join(root, 'maas.config.yaml'),
      env: {},
      oclif: await program(),
    });
    const { project, registry } = opened;
    expect(registry.stages.map(({ name }) => name)).toEqual(['train', 'card', 'compress']);
    expect([...registry.engines.keys()]).toEqual(['onnx', 'search']);
    expect([...registry.passes.keys()]).toEqual(['threshold']);
    expect([...registry.targets.keys()]).toEqual(['folder']);
    expect(project.config).toMatchObject({ train: { engine: 'search' }, card: { author: 'Ada' } });
  });

  it('are found in the project, above it, and by path; their order does not matter', async () => {
    await writePackage(
      join(folder, 'node_modules/maas-plugin-above'),
      'maas-plugin-above',
      answer(`engines: [${engine('above')}]`),
    );
    const { registry } = await open('[./local, "@team/zeta", maas-plugin-above]', {
      './local': answer(`engines: [${engine('local')}]`),
      '@team/zeta': answer(`engines: [${engine('zeta')}]`),
    });
    expect([...registry.engines.keys()]).toEqual(['onnx', 'local', 'zeta', 'above']);
  });

  it('need no list at all', async () => {
    expect([...(await loadRegistry(await program())).engines.keys()]).toEqual(['onnx']);
    expect((await open('[]')).project.config['plugins']).toEqual([]);
  });

  it.each([
    ['[maas-plugin-none]', 'the plugin "maas-plugin-none" is not installed', /npm install maas-plugin-none/],
    ['[./none]', 'there is no package at ./none', /package\.json/],
    ['["a b"]', '"a b" is neither a package name nor a path', /\.\//],
    ['[/etc]', '"/etc" is neither a package name nor a path', /\.\//],
    ['[plain]', '"plain" is no maas plugin: its package.json names no maas:register hook', /oclif/],
  ])('say where a plugin is asked for that cannot be loaded: %s', async (list, message, hint) => {
    const error = await failure(open(list, { plain: undefined }));
    expect(error).toMatchObject({ code: 'MAAS_PLUGIN_FAILED', message, place: { line: 1, column: 11 } });
    expect(error.hint).toMatch(hint);
  });

  it('are listed once', async () => {
    const error = await failure(open('[once, once]', { once: answer('') }));
    expect(error).toMatchObject({ message: '"once" is listed twice', place: { column: 17 } });
  });

  it.each([
    ['text', 'plugins: expected a list, found "text"'],
    ['[1]', 'plugins.0: expected a string, found 1'],
  ])('must be a list of names: %s', async (list, message) => {
    expect(await failure(open(list))).toMatchObject({ code: 'MAAS_CONFIG_INVALID', message });
  });

  it.each([
    ['throws', 'export default () => { throw new Error("out of order\\nat all") };', 'bad: out of order'],
    ['rejects with no error', 'export default () => Promise.reject("no");', 'bad: no'],
    ['throws as it is loaded', 'throw new TypeError("early"); ', 'bad: early'],
    ['imports what is not there', 'import "nowhere-to-be-found"; export default () => ({});', 'Cannot find'],
    ['is no JavaScript', 'export default function (', 'bad: '],
    ['tries to end the process', 'export default function () { this.exit(0); }', 'bad: EEXIT: 0'],
    [
      'fails in the manner of oclif',
      'export default function () { this.error("stop", {exit: 7}); }',
      'bad: stop',
    ],
    ['exports nothing', 'export const answer = 42;', 'bad: its maas:register file exports no function'],
    ['answers nothing', 'export default () => undefined;', 'bad: wrong answer to maas:register'],
    ['is for another version', 'export default () => ({apiVersion: 9});', 'bad was written for plugin API 9'],
  ])('that are broken are named: one that %s', async (_, register, message) => {
    const error = await failure(open('[good, bad]', { good: answer(''), bad: register }));
    expect(error).toMatchObject({ code: 'MAAS_PLUGIN_FAILED', exitCode: 4 });
    expect(error.message).toContain(message);
    expect(error.message).not.toContain('\n');
  });

  it('may not take a name that is taken', async () => {
    const error = await failure(open('[one]', { one: answer(`engines: [${engine('onnx')}]`) }));
    expect(error).toMatchObject({
      code: 'MAAS_PLUGIN_CONFLICT',
      message: 'maas-cli and one both register the engine "onnx"',
    });
  });

  it('that never answer are given up', async () => {
    const config = await program();
    const root = await writePackage(
      join(folder, 'stuck'),
      'maas-plugin-stuck',
      'export default () => new Promise(() => {});',
    );
    const { addProjectPlugins } = await import('../../src/plugin/project-plugins.js');
    await addProjectPlugins(config, root, [{ specifier: './', place: { file: 'maas.config.yaml' } }]);
    expect(await failure(loadRegistry(config, { timeoutMs: 50 }))).toMatchObject({
      code: 'MAAS_PLUGIN_FAILED',
      message: 'maas-plugin-stuck: Timed out after 50 ms.',
    });
  });
});
