import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadProject } from '../../src/config/index.js';
import { locate } from '../../src/config/locate.js';
import { parseYaml } from '../../src/config/parse-yaml.js';
import { SourceText } from '../../src/config/source-text.js';
import { validate } from '../../src/config/validate.js';
import { MaasError } from '../../src/errors.js';
import type { Project } from '../../src/plugin/api.js';
import { sampleRegistry } from './sample-registry.js';

const base = `name: iris
data: {source: data/iris.csv, target: species}
train:
  model: layers
`;

let folder: string;
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maas-config-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function load(
  text: string | Uint8Array,
  options: { set?: string[]; env?: Record<string, string> } = {},
): Promise<Project> {
  const file = join(folder, `${++count}.yaml`);
  await writeFile(file, text);
  return loadProject({ file, env: {}, registry: sampleRegistry, ...options });
}

async function failure(promise: Promise<unknown>): Promise<MaasError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(MaasError);
  return error as MaasError;
}

function catchError(run: () => unknown): MaasError {
  try {
    run();
  } catch (error) {
    return error as MaasError;
  }
  throw new Error('nothing was thrown');
}

describe('loadProject', () => {
  it('fills in defaults and freezes', async () => {
    const project = await load(base);
    expect(project).toMatchObject({
      name: 'iris',
      seed: 0,
      root: folder,
      configFile: join(folder, `${count}.yaml`),
      config: {
        train: {
          engine: { name: 'onnx', options: {} },
          optimizer: { name: 'adam', options: { learningRate: 0.001 } },
          epochs: 60,
        },
        deploy: { keep: 5 },
        serve: { host: '127.0.0.1', port: 8080 },
      },
    });
    expect(project.config).not.toHaveProperty('compress');
    const train = project.config['train'] as { epochs: number };
    expect(() => (train.epochs = 1)).toThrow(TypeError);
    expect(() => ((project as { seed: number }).seed = 1)).toThrow(TypeError);
  });

  it.each([
    ['a byte-order mark', Buffer.from(`\uFEFF${base}`)],
    ['Windows line ends', base.replaceAll('\n', '\r\n')],
    ['JSON', '{"name": "iris", "data": {"source": "a.csv", "target": "b"}, "train": {"model": "layers"}}'],
  ])('reads %s', async (_, text) => {
    expect((await load(text)).config).toMatchObject({ name: 'iris', train: { model: 'layers' } });
  });

  it('points at the right column behind a byte-order mark and in Windows lines', async () => {
    const error = await failure(load(`\uFEFFnme: iris\r\n${base.replaceAll('\n', '\r\n')}  epocs: 1\r\n`));
    expect([error, ...error.others].map(({ place }) => [place!.line, place!.column])).toEqual([
      [1, 1],
      [6, 3],
    ]);
    expect(error.others[0]!.place!.frame).not.toContain('\r');
  });

  it('reads anchors, aliases and merge keys; keys of the mapping itself win', async () => {
    const project = await load(`name: iris
data: {source: &source data/iris.csv, target: *source}
train: &train {model: layers, epochs: 5}
compress:
  passes:
    - quantize: &quantize {mode: static}
    - quantize: {<<: *quantize}
    - quantize: {mode: dynamic, <<: [*quantize, {mode: static}]}
`);
    expect(project.config).toMatchObject({
      data: { target: 'data/iris.csv' },
      compress: { passes: ['static', 'static', 'dynamic'].map((mode) => ({ options: { mode } })) },
    });
  });

  it.each([
    ['an alias inside its own anchor', 'data: &a {b: *a}', 'part of'],
    [
      'aliases that explode',
      ['a: &a0 [x, x]', ...Array.from({ length: 40 }, (_, n) => `b${n}: &a${n + 1} [*a${n}, *a${n}]`)].join(
        '\n',
      ),
      'more than 100000 values',
    ],
    ['an unknown tag', 'name: !secret x', 'tag'],
    ['a key that is a mapping', '? {a: 1}\n: 2', 'plain text'],
    ['a merge of text', 'a: {<<: text}', 'merge'],
    ['text that is not UTF-8', Buffer.from([0x6e, 0xff, 0xfe]), 'UTF-8'],
    ['very deep nesting', '['.repeat(20_000), ''],
  ])('refuses %s', async (_, text, message) => {
    const error = await failure(load(text));
    expect(error.code).toBe('MAAS_CONFIG_SYNTAX');
    expect(error.message).toContain(message);
  });

  it('takes __proto__ for the unknown key that it is', async () => {
    const error = await failure(load(`${base}__proto__: {polluted: true}\n`));
    expect(error).toMatchObject({ code: 'MAAS_CONFIG_UNKNOWN_KEY', message: 'unknown key "__proto__"' });
    expect({}).not.toHaveProperty('polluted');
  });

  it('says when there is no file, when it is a folder, and when a parent is a file', async () => {
    const at = (file: string) =>
      failure(loadProject({ file: join(folder, file), env: {}, registry: sampleRegistry }));
    expect(await at('none.yaml')).toMatchObject({ code: 'MAAS_CONFIG_MISSING', exitCode: 2 });
    await mkdir(join(folder, 'project'));
    const error = await at('project');
    expect(error.code).toBe('MAAS_CONFIG_MISSING');
    expect(error.hint).toContain('project/maas.config.yaml');
    await writeFile(join(folder, 'plain'), '');
    expect(await at('plain/maas.config.yaml')).toMatchObject({ code: 'MAAS_CONFIG_MISSING' });
  });

  it('names the option that a bare name lacks, and the types that would do', async () => {
    const error = await failure(load(base.replace('layers', '[1]\n  engine: command')));
    expect([error, ...error.others].map(({ message, place }) => [message, place!.line])).toEqual([
      ['train.model: expected a string or a mapping, found a list', 4],
      ['missing key "run" in train.engine.command', 5],
    ]);
  });

  it('points at keys that a record does not allow, and into lists', () => {
    const source = new SourceText('x', 'types: {age: number, Größe: number}\nitems: [{a: 1}, {}]\n');
    const root = locate(parseYaml(source), { source });
    const schema = z.strictObject({
      types: z.record(z.string().regex(/^\w+$/), z.string()),
      items: z.array(z.strictObject({ a: z.int() })),
    });
    const errors = () => validate(root, schema);
    expect(errors).toThrow('types.Größe: wrong key: expected text that matches /^\\w+$/');
    const error = catchError(errors);
    expect(error.place).toMatchObject({ line: 1, column: 22 });
    expect(error.others[0]).toMatchObject({
      message: 'missing key "a" in items.1',
      place: { line: 2, column: 17 },
    });
  });

  it('counts a misspelt required key once', async () => {
    const error = await failure(load(base.replace('target', 'traget')));
    expect(error).toMatchObject({
      code: 'MAAS_CONFIG_UNKNOWN_KEY',
      hint: 'Did you mean "target"?',
      others: [],
    });
  });
});

describe('environment variables', () => {
  const serve = async (value: string, env: Record<string, string>) =>
    (await load(`${base}serve:\n  ${value}\nseed: 1\n`, { env })).config['serve'];

  it('take their YAML type when they are the whole value', async () => {
    expect(await serve('port: ${PORT}', { PORT: '0x50' })).toMatchObject({ port: 80 });
    expect(await serve('port: ${PORT:-90}', {})).toMatchObject({ port: 90 });
    expect(await serve('port: ${PORT:-90}', { PORT: '' })).toMatchObject({ port: 90 });
  });

  it.each([
    ['host: "${X}"', '80', '80'],
    ["host: '${X}'", 'true', 'true'],
    ['host: !!str ${X}', '80', '80'],
    ['host: a-${X}-${X}', '1', 'a-1-1'],
    ['host: ${X}', 'a: {b: [', 'a: {b: ['],
    ['host: ${X}', '{a: 1}', '{a: 1}'],
    ['host: ${X}', '"quoted"', '"quoted"'],
    ['host: ${X}', 'a # b', 'a # b'],
    ['host: ${X}', '${Y}', '${Y}'],
    ['host: ${X}', '', ''],
    ['host: $${X}', '1', '${X}'],
    ['host: $X$$', '1', '$X$'],
    ['host: ${Y:-x:-y}', '1', 'x:-y'],
  ])('%s with X=%j gives %j', async (line, value, host) => {
    expect(await serve(line, { X: value })).toMatchObject({ host });
  });

  it('never appear in error messages', async () => {
    const text = `${base}serve: {host: "\${PASSWORD}", port: "\${PASSWORD}"}\n`;
    const error = await failure(load(text, { env: { PASSWORD: 'hunter2' } }));
    expect(error.message).toBe('serve.port: expected a number, found a string from ${PASSWORD}');
    expect(JSON.stringify(error)).not.toContain('hunter2');
  });

  it('may be missing where --set puts another value', async () => {
    const text = `${base}serve:\n  port: \${NONE}\n`;
    expect(await failure(load(text))).toMatchObject({
      code: 'MAAS_CONFIG_ENV',
      place: { line: 6, column: 9 },
    });
    const project = await load(text, { set: ['serve.port=1'] });
    expect(project.config['serve']).toMatchObject({ port: 1 });
  });
});

describe('--set', () => {
  const text = `${base}compress:\n  passes: [quantize]\n`;

  it.each([
    ['train.epochs=3', ['train', 'epochs'], 3],
    ['train.shuffle=false', ['train', 'shuffle'], false],
    ['name="8"', ['name'], '8'],
    ['data.source=a=b.csv', ['data', 'source'], 'a=b.csv'],
    ['\'train\'."epochs"=0b11'.replace('0b11', '0o7'), ['train', 'epochs'], 7],
    ['train.model={units: [4, 2]}', ['train', 'model', 'units', 1], 2],
    ['train.optimizer=sgd', ['train', 'optimizer', 'name'], 'sgd'],
    ['train.optimizer.adam.learningRate=0.5', ['train', 'optimizer', 'options', 'learningRate'], 0.5],
    ['compress.passes.0.quantize.mode=static', ['compress', 'passes', 0, 'options', 'mode'], 'static'],
    ['compress.passes.1=quantize', ['compress', 'passes', 1, 'name'], 'quantize'],
    ['serve.host=${HOME}', ['serve', 'host'], '${HOME}'],
  ])('%s', async (argument, path, value) => {
    const { config } = await load(text, { set: [argument] });
    expect(path.reduce((at: unknown, key) => (at as Record<string, unknown>)[key], config)).toBe(value);
  });

  it('applies in order', async () => {
    const { config } = await load(text, {
      set: ['train.epochs=3', 'train={model: layers}', 'seed=9', 'seed=8'],
    });
    expect(config).toMatchObject({ seed: 8, train: { epochs: 60 } });
  });

  it.each([
    ['train.epohcs=1', 'MAAS_CONFIG_UNKNOWN_KEY', 'unknown key "epohcs" in train', 'train.epohcs=1', 6, 6],
    ['train.epochs=ten', 'MAAS_CONFIG_INVALID', 'found "ten"', 'train.epochs=ten', 13, 3],
    ['train.epochs=', 'MAAS_CONFIG_INVALID', 'found nothing', 'train.epochs=', 13, 1],
    ['trian.epochs=1', 'MAAS_CONFIG_UNKNOWN_KEY', 'unknown key "trian"', 'trian.epochs=1', 0, 5],
    ['train.model.units=1', 'MAAS_CONFIG_INVALID', 'train.model is "layers"', 'train.model.units=1', 12, 5],
    [
      'compress.passes.7=quantize',
      'MAAS_CONFIG_INVALID',
      'is a list of 1',
      'compress.passes.7=quantize',
      16,
      1,
    ],
    ['train.epochs=[1', 'MAAS_CONFIG_SYNTAX', 'flow sequence', 'train.epochs=[1', 15, 1],
    ['train.epochs', 'MAAS_USAGE', 'KEY=VALUE', 'train.epochs', 12, 1],
    ['=1', 'MAAS_USAGE', 'KEY=VALUE', '=1', 0, 1],
    ['train..epochs=1', 'MAAS_USAGE', 'KEY=VALUE', 'train..epochs=1', 6, 1],
  ])('points at %s', async (argument, code, message, shown, column, width) => {
    const error = await failure(load(text, { set: ['seed=1', argument] }));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
    expect(error.place).toEqual({
      file: '--set',
      frame: `  | ${shown}\n  | ${' '.repeat(column)}${'^'.repeat(width)}`,
    });
  });
});
