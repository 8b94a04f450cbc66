import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { examineNode } from '../../src/stages/examine.js';
import { maas } from '../e2e/maas.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-doctor-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

interface Report {
  readonly status: string;
  readonly findings: readonly { readonly name: string; readonly state: string; readonly hint?: string }[];
}

/** With an empty cache: what this user has installed is not looked at. */
const run = async (args: readonly string[]) => {
  const env = { NO_COLOR: '1', XDG_CACHE_HOME: join(root, 'cache') };
  return maas(root, args, { env });
};

it('knows which Node.js are too old', () => {
  const states = ['18.20.0', '20.18.3', '20.19.0', '22.0.0', '24.1.0'].map(
    (version) => examineNode(version).state,
  );
  expect(states).toEqual(['missing', 'missing', 'ok', 'ok', 'ok']);
});

it('misses an engine only where the config asks for it, and refuses to train with it', async () => {
  const outside = await run(['doctor', '--json']);
  expect(outside.code).toBe(0);
  const { findings } = JSON.parse(outside.stdout) as Report;
  expect(findings.find(({ name }) => name === 'engine tfjs-node')).toMatchObject({
    state: 'absent',
    hint: 'Run `maas engines install tfjs-node`.',
  });
  await writeFile(join(root, 'a.csv'), 'x,y\n1,2\n');
  const config = `name: a\ndata: {source: a.csv, target: y}\ntrain: {engine: tfjs-node, model: {preset: mlp}}\n`;
  await writeFile(join(root, 'maas.config.yaml'), config);
  const inside = await run(['doctor', '--json']);
  expect(inside.code).toBe(4);
  expect((JSON.parse(inside.stdout) as Report).status).toBe('missing');
  const training = await run(['train']);
  expect(training.code).toBe(4);
  expect(training.stderr).toContain('error[MAAS_ENGINE_MISSING]');
  expect(training.stderr).toContain('maas engines install tfjs-node');
});

it('lists engines, and says what it cannot install', async () => {
  const { stdout } = await run(['engines', '--json']);
  expect((JSON.parse(stdout) as { engines: unknown[] }).engines).toContainEqual(
    expect.objectContaining({ name: 'onnx', available: true }),
  );
  const unknown = await run(['engines', 'install', 'tfjs']);
  expect(unknown.code).toBe(2);
  expect(unknown.stderr).toMatch(/there is no engine "tfjs"[\s\S]*tfjs-node/);
  expect(await run(['engines', 'install', 'onnx'])).toMatchObject({
    code: 0,
    stdout: 'onnx is here already.',
  });
});
