import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maas, maasJson, root, template, type RunJson } from '../e2e/maas.js';

const example = fileURLToPath(new URL('../fixtures/maas-plugin-example', import.meta.url));

const config = `name: iris
plugins: [maas-plugin-example]
data: {source: iris.csv, target: species}
train:
  engine: {search: {step: 0.2}}
  model: {layers: [dense: {activation: softmax}]}
  epochs: 5
card: {author: Ada}
compress:
  passes: [{threshold: {below: 0.5}}]
  gates: {accuracy: {maxDrop: 1}, latency: {maxRatio: 100}}
deploy:
  target: {folder: {path: share}}
`;

interface History {
  readonly epochs: readonly { readonly loss: number }[];
}

describe('a project with a third-party plugin', () => {
  let project: string;

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'maas-example-'));
    await mkdir(join(project, 'node_modules'));
    await symlink(root, join(project, 'node_modules', 'maas-cli'), 'junction');
    await cp(example, join(project, 'node_modules', 'maas-plugin-example'), { recursive: true });
    await cp(join(template, 'data', 'iris.csv'), join(project, 'iris.csv'));
    await writeFile(join(project, 'maas.config.yaml'), config);
  });
  afterAll(() => rm(project, { recursive: true, force: true, maxRetries: 3 }));

  it('runs with the plugin’s engine, pass, target and stage', async () => {
    const { status, stages } = await maasJson<RunJson>(project, ['run']);
    expect(status).toBe('done');
    expect(Object.keys(stages)).toEqual(['train', 'card', 'compress', 'deploy']);
    const text = await readFile(join(stages['train']!.artifact, 'history.json'), 'utf8');
    const losses = (JSON.parse(text) as History).epochs.map(({ loss }) => loss);
    // The engine keeps the best weights so far.
    expect(losses).toHaveLength(5);
    expect(losses).toEqual([...losses].sort((a, b) => b - a));
    const card = await readFile(join(stages['card']!.artifact, 'MODEL_CARD.md'), 'utf8');
    expect(card).toMatch(/^# iris\n\nPredicts species from sepal.*\nAsk Ada\.\n$/);
    const before = await readFile(join(stages['card']!.artifact, 'model.onnx'));
    const after = await readFile(join(stages['compress']!.artifact, 'model.onnx'));
    expect(after.equals(before)).toBe(false);
    const { digest } = stages['deploy']!;
    const deployed = await readFile(join(project, 'share', digest, 'model.onnx'));
    expect(deployed.equals(after)).toBe(true);
    expect(JSON.parse(await readFile(join(project, 'share', 'history.json'), 'utf8'))).toMatchObject([
      { digest },
    ]);
  });

  it('checks the plugin’s section like any other', async () => {
    const { code, stderr } = await maas(project, ['run', '--set', 'card.autor=Ada']);
    expect(code).toBe(2);
    expect(stderr).toContain('error[MAAS_CONFIG_UNKNOWN_KEY]: unknown key "autor" in card');
    expect(stderr).toContain('Did you mean "author"?');
  });

  it('says which plugin is broken, with no stack', async () => {
    const register = join(project, 'node_modules', 'maas-plugin-example', 'register.js');
    await writeFile(register, 'throw new Error("out of order");');
    const { code, stdout, stderr } = await maas(project, ['run']);
    expect(code).toBe(4);
    expect(stdout).toBe('');
    expect(stderr).toContain('error[MAAS_PLUGIN_FAILED]: maas-plugin-example: out of order');
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});
