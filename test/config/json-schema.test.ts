import { existsSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv, type ValidateFunction } from 'ajv';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { jsonSchema } from '../../src/config/index.js';
import type { JsonSchema } from '../../src/config/schema-path.js';
import { builtIns } from './built-ins.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const shipped = join(root, 'src/config/maas.schema.json');
const schema = jsonSchema(await builtIns());

let validate: ValidateFunction;
beforeAll(() => {
  validate = new Ajv().compile(schema);
  // Generating code for so large a schema takes its time on a machine that is busy.
}, 60_000);

/** Every key of every mapping, by path, with the schemas that describe it. */
function keysOf(at: JsonSchema, path = ''): [string, JsonSchema][] {
  const { properties = {}, items, additionalProperties, anyOf = [], oneOf = [], allOf = [] } = at;
  const inner = [items ?? [], additionalProperties].flat().filter((each) => typeof each === 'object');
  return [
    ...Object.entries(properties).flatMap(([key, child]): [string, JsonSchema][] => [
      [`${path}.${key}`, child],
      ...keysOf(child, `${path}.${key}`),
    ]),
    ...[...inner, ...anyOf, ...oneOf, ...allOf].flatMap((child) => keysOf(child, path)),
  ];
}

describe('the JSON Schema', () => {
  it('is shipped as the schemas say', async () => {
    const text = `${JSON.stringify(schema, undefined, 2)}\n`;
    // UPDATE_GOLDEN=1 rewrites the file.
    if (process.env['UPDATE_GOLDEN']) await writeFile(shipped, text);
    expect(await readFile(shipped, 'utf8')).toBe(text);
  });

  it('is valid, and stands on its own', () => {
    const ajv = new Ajv();
    expect(ajv.validateSchema(schema), ajv.errorsText()).toBe(true);
    // References lead to places in the schema itself; it would not compile without them.
    const references = JSON.stringify(schema).match(/"\$ref":"[^"]*/g) ?? [];
    expect(references.filter((reference) => !reference.startsWith('"$ref":"#/'))).toEqual([]);
  });

  it('describes every key', () => {
    const keys = keysOf(schema);
    expect(keys.length).toBeGreaterThan(50);
    expect(keys.filter(([, { description = '' }]) => description.length < 4).map(([path]) => path)).toEqual(
      [],
    );
  });

  it('takes the repository’s own config, and the templates’', async () => {
    const templates = readdirSync(join(root, 'templates')).map(
      (name) => `templates/${name}/maas.config.yaml`,
    );
    for (const path of ['maas.config.yaml', ...templates.filter((path) => existsSync(join(root, path)))]) {
      const text = await readFile(join(root, path), 'utf8');
      expect(validate(parse(text, { merge: true })), `${path}: ${JSON.stringify(validate.errors)}`).toBe(
        true,
      );
      expect(text).toMatch(/^# yaml-language-server: \$schema=/);
    }
  });

  it.each([
    ['an unknown section', { trian: {} }],
    ['an unknown key', { train: { epocs: 1 } }],
    ['an unknown name', { train: { engine: 'tensorflow' } }],
    ['two names', { train: { optimizer: { adam: {}, sgd: {} } } }],
    ['a wrong option', { train: { optimizer: { adam: { learningRate: 'high' } } } }],
    ['a wrong type', { seed: 'seven' }],
  ])('refuses %s', (_, part: object) => {
    const train = { model: { layers: [{ dense: { units: 'auto' } }] } };
    const right = { name: 'iris', data: { source: 'iris.csv', target: 'species' }, train };
    expect(validate(right), JSON.stringify(validate.errors)).toBe(true);
    expect(
      validate({ ...right, ...part, train: { ...train, ...('train' in part && (part.train as object)) } }),
    ).toBe(false);
  });
});
