import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { composeSchema, jsonSchema } from '../../src/config/index.js';
import { dataSchema } from '../../src/data/config.js';
import type { MaasError } from '../../src/errors.js';
import { createRegistry, reservedSections, type RegistryEntry } from '../../src/plugin/registry.js';
import { sampleRegistry } from '../config/sample-registry.js';

const stage = (name: string, after?: string) => ({
  name,
  summary: 'A stage',
  after,
  options: () => z.strictObject({}),
  reads: ['model'],
  writes: 'model',
  version: 1,
  tasks: () => [],
});
const engine = (name: string) => ({ name, summary: 'An engine', train: () => undefined });
const service = (name: string) => ({ name, summary: 'A service', options: stage, start: () => undefined });
const pass = (name: string) => ({
  name,
  summary: 'A pass',
  options: z.strictObject({}),
  version: 1,
  run: () => undefined,
});

const builtIn = (...stages: unknown[]): RegistryEntry => ({
  plugin: 'maas-cli',
  registration: { apiVersion: 1, stages },
});
const plugin = (name: string, registration: object): RegistryEntry => ({
  plugin: `maas-plugin-${name}`,
  registration: { apiVersion: 1, ...registration },
});
const mainLine = builtIn(stage('train'), stage('compress', 'train'), stage('deploy', 'compress'));

function refusal(...entries: RegistryEntry[]): { code: string; message: string; hint: string } {
  try {
    createRegistry(entries);
  } catch (error) {
    const { code, message, hint } = error as MaasError;
    return { code, message, hint };
  }
  throw new Error('nothing was refused');
}

describe('createRegistry', () => {
  it('keeps definitions as they are, methods of classes included', () => {
    class Counting {
      readonly name = 'counting';
      readonly summary = 'Counts';
      train(): void {
        // Only its being there matters.
      }
    }
    const counting = new Counting();
    const registry = createRegistry([
      mainLine,
      plugin('a', { engines: [counting], passes: [pass('prune')] }),
    ]);
    expect(registry.engines.get('counting')).toBe(counting);
    expect([...registry.passes.keys()]).toEqual(['prune']);
    expect(Object.isFrozen(registry)).toBe(true);
  });

  it.each([
    ['the main line', [mainLine], 'train compress deploy'],
    ['whatever the order of registration', [builtIn(stage('b', 'a'), stage('a'))], 'a b'],
    [
      'guests between a stage and what follows it',
      [mainLine, plugin('x', { stages: [stage('prune', 'train')] })],
      'train prune compress deploy',
    ],
    [
      'several guests in the order of their plugins, each with its own followers',
      [
        mainLine,
        plugin('x', { stages: [stage('x2', 'x1'), stage('x1', 'train')] }),
        plugin('y', { stages: [stage('y1', 'train'), stage('y2', 'deploy')] }),
      ],
      'train x1 x2 y1 compress deploy y2',
    ],
    [
      'guests that follow none',
      [mainLine, plugin('x', { stages: [stage('fetch')] })],
      'fetch train compress deploy',
    ],
  ])('orders %s', (_, entries, order) => {
    expect(
      createRegistry(entries)
        .stages.map(({ name }) => name)
        .join(' '),
    ).toBe(order);
  });

  it('refuses a stage that follows one that there is not', () => {
    expect(refusal(mainLine, plugin('x', { stages: [stage('prune', 'trian')] }))).toEqual({
      code: 'MAAS_PLUGIN_FAILED',
      message: 'maas-plugin-x: stage "prune" follows "trian", but there is no such stage',
      hint: 'Stages: train, compress, deploy, prune.',
    });
  });

  it('refuses stages that follow each other in a circle', () => {
    const entries = [
      mainLine,
      plugin('x', { stages: [stage('a', 'b')] }),
      plugin('y', { stages: [stage('b', 'a')] }),
    ];
    expect(refusal(...entries)).toMatchObject({
      code: 'MAAS_PLUGIN_FAILED',
      message:
        'stages follow each other in a circle: "a" of maas-plugin-x after "b", "b" of maas-plugin-y after "a"',
    });
    expect(refusal(mainLine, plugin('x', { stages: [stage('a', 'a')] })).message).toContain('in a circle');
  });

  it.each([
    [{ engines: [engine('onnx')] }, { engines: [engine('onnx')] }, 'engine "onnx"'],
    [{ stages: [stage('prune')] }, { stages: [stage('prune')] }, 'stage "prune"'],
    [{ stages: [stage('watch')] }, { services: [service('watch')] }, 'service "watch"'],
  ])('refuses what two plugins register, naming both (%#)', (first, second, what) => {
    expect(refusal(mainLine, plugin('x', first), plugin('y', second))).toMatchObject({
      code: 'MAAS_PLUGIN_CONFLICT',
      message: `maas-plugin-x and maas-plugin-y both register the ${what}`,
    });
  });

  it('lets different kinds share a name', () => {
    expect(() =>
      createRegistry([plugin('x', { engines: [engine('local')], passes: [pass('local')] })]),
    ).not.toThrow();
  });

  it('knows which config keys are taken', () => {
    expect(refusal(plugin('x', { services: [service('data')] })).message).toContain('fixed config key');
    const none = createRegistry([]);
    const { properties } = jsonSchema(none) as { properties: object };
    expect(Object.keys(properties)).toEqual([...reservedSections]);
  });

  it.each([
    [2, 'maas-plugin-x was written for plugin API 2, this maas has 1', 'Update maas.'],
    [0, 'maas-plugin-x was written for plugin API 0, this maas has 1', 'Update the plugin.'],
  ])('refuses API version %d', (apiVersion, message, hint) => {
    expect(refusal(plugin('x', { apiVersion }))).toEqual({ code: 'MAAS_PLUGIN_FAILED', message, hint });
  });

  it.each([
    [undefined, 'the answer:'],
    [{}, 'apiVersion:'],
    [{ apiVersion: 1, engine: [] }, 'Unrecognized key: "engine"'],
    [{ apiVersion: 1, engines: [{ name: 'x', summary: 'y' }] }, 'engines.0.train: expected a function'],
    [{ apiVersion: 1, engines: [{ ...engine('a/b') }] }, 'engines.0.name: expected a letter'],
    [
      { apiVersion: 1, passes: [{ ...pass('x'), options: { _def: {} } }] },
      'passes.0.options: expected a zod 4 schema',
    ],
    [{ apiVersion: 1, stages: [{ ...stage('x'), reads: ['data'] }] }, 'stages.0.reads.0'],
  ])('refuses the answer %j', (registration, message) => {
    const { code, message: actual } = refusal({ plugin: 'maas-plugin-x', registration });
    expect(code).toBe('MAAS_PLUGIN_FAILED');
    expect(actual).toContain('maas-plugin-x: wrong answer to maas:register: ');
    expect(actual).toContain(message);
  });

  it('blames a stage whose options cannot be worked out', () => {
    const broken = {
      ...stage('broken'),
      options: () => {
        throw new Error('no');
      },
    };
    const registry = createRegistry([mainLine, plugin('x', { stages: [broken] })]);
    expect(() => composeSchema(registry, dataSchema)).toThrow(/the options of "broken" cannot be worked out/);
  });
});

describe('composeSchema', () => {
  const data = { source: 'a.csv', target: 'b' };

  it('requires the one stage that the others start from', () => {
    const result = composeSchema(sampleRegistry, dataSchema).safeParse({ name: 'x', data });
    expect(result.error?.issues.map(({ path }) => path)).toEqual([['train']]);
  });

  it('requires neither name, data nor stages of who names a model', () => {
    const schema = composeSchema(sampleRegistry, undefined);
    expect(schema.parse({})).toMatchObject({ name: 'model', seed: 0 });
    expect(schema.safeParse({ nonsense: 1 }).success).toBe(false);
  });

  it('requires none where several could start', () => {
    const source = { ...stage('fetch'), reads: [] };
    const registry = createRegistry([
      builtIn({ ...stage('train'), reads: [] }),
      plugin('x', { stages: [source] }),
    ]);
    expect(composeSchema(registry, dataSchema).parse({ name: 'x', data, fetch: {} })).toHaveProperty('fetch');
  });
});
