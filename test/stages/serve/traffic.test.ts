import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { chooseVersion } from '../../../src/stages/serve/traffic.js';
import { post, start, type Served, type StartOptions } from './start.js';
import { subjects } from './traffic/subjects.js';

const { name, models } = subjects.find((subject) => subject.name === 'perceptron')!;

let folder: string;
let served: Served | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maas-traffic-'));
  // Version 3 answers as 1 does.
  for (const [version, model] of [models[0], models[1], models[0]].entries()) {
    const home = join(folder, name, String(version + 1));
    await mkdir(home, { recursive: true });
    await writeFile(join(home, 'model.onnx'), model);
  }
});
afterEach(() => served?.stop());
afterAll(() => rm(folder, { recursive: true, force: true }));

const begin = async (options: StartOptions['options']): Promise<Served> =>
  (served = await start(folder, { kind: 'repository', options: { ...options } }));

const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 16], data: new Array<number>(16).fill(0.5) }];
async function ask(
  server: Served,
  headers: Record<string, string> = {},
  path = '',
): Promise<{ version: string; y: number[] }> {
  const answer = await post(`${server.url}/v2/models/${name}${path}/infer`, { inputs }, headers);
  expect(answer.status).toBe(200);
  const { model_version, outputs } = (await answer.json()) as {
    model_version: string;
    outputs: { data: number[] }[];
  };
  return { version: model_version, y: outputs[0]!.data };
}

describe('shares of versions', () => {
  it('lead requests that name none, and aliases stand for versions', async () => {
    const server = await begin({
      models: { [name]: { aliases: { stable: '1', canary: '2' }, split: { stable: 75, canary: 25 } } },
    });
    const counts: Record<string, number> = {};
    for (let count = 0; count < 120; count++) {
      const { version } = await ask(server);
      counts[version] = (counts[version] ?? 0) + 1;
    }
    expect(Object.keys(counts).sort()).toEqual(['1', '2']);
    expect(counts['2']).toBeGreaterThan(10);
    expect(counts['2']).toBeLessThan(60);
    for (const [asked, got] of [
      ['canary', '2'],
      ['3', '3'],
      ['latest', '3'],
    ] as const) {
      expect((await ask(server, {}, `/versions/${asked}`)).version).toBe(got);
    }
  });

  it('keep a caller with one version, by a header', async () => {
    const server = await begin({ models: { [name]: { split: { '1': 1, '2': 1 }, sticky: 'X-User-Id' } } });
    const seen = new Set<string>();
    for (let user = 0; user < 12; user++) {
      const headers = { 'x-user-id': `user ${user}` };
      const { version } = await ask(server, headers);
      seen.add(version);
      for (let count = 0; count < 3; count++) expect((await ask(server, headers)).version).toBe(version);
    }
    expect(seen.size).toBe(2);
  });

  it('move only as many callers as the shares do', () => {
    const of = (canary: number, user: number): string | undefined =>
      chooseVersion({ split: { stable: 100 - canary, canary }, sticky: 'user' }, { user: String(user) });
    const users = Array.from({ length: 2000 }, (_, user) => user);
    const moved = users.filter((user) => of(10, user) !== of(20, user));
    expect(moved.length / users.length).toBeGreaterThan(0.05);
    expect(moved.length / users.length).toBeLessThan(0.15);
    expect(moved.every((user) => of(10, user) === 'stable')).toBe(true);
    expect(chooseVersion({}, {})).toBeUndefined();
    expect(chooseVersion({ split: { a: 0, b: 1 } }, {})).toBe('b');
  });

  it('of versions that are not there leave it to the latest', async () => {
    const server = await begin({ models: { [name]: { split: { '9': 1 } } } });
    expect((await ask(server)).version).toBe('3');
  });
});

describe('a shadow', () => {
  it.each([
    ['2', 'different'],
    ['1', 'same'],
  ])('version %s answers nobody, and is %s', async (shadow, result) => {
    const server = await begin({ models: { [name]: { shadow } } });
    const { version, y } = await ask(server);
    expect(version).toBe('3');
    const metrics = async (): Promise<string> => (await server.get('/metrics')).text();
    const counted = `maas_shadow_requests_total{model="${name}",version="3",shadow="${shadow}",result="${result}"}`;
    while (!(await metrics()).includes(counted)) expect((await ask(server)).y).toEqual(y);
    const text = await metrics();
    expect(text).toContain(`maas_shadow_difference_count{model="${name}",version="3",shadow="${shadow}"}`);
    for (const other of ['same', 'different', 'failed', 'dropped'].filter((each) => each !== result)) {
      expect(text).not.toContain(`result="${other}"`);
    }
  });
});
