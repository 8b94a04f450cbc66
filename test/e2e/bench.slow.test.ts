import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { maas, makeProject } from './maas.js';

let project: Awaited<ReturnType<typeof makeProject>>;
beforeAll(async () => {
  project = await makeProject();
  const { code, stderr } = await maas(project.path, [
    'run',
    '--quiet',
    '--set',
    'train.epochs=5',
    '--set',
    'train.gates={}',
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
}, 60_000);
afterAll(() => project.remove());

const bench = (...args: string[]) => maas(project.path, ['bench', '--warm-up', '0.2', '--json', ...args]);

it('measures the current release', async () => {
  const { code, stdout } = await bench('--duration', '1', '--concurrency', '1,4', '--rate', '50');
  expect(code).toBe(0);
  const { status, model, results } = JSON.parse(stdout) as {
    status: string;
    model: string;
    results: { failed: number; requests: number; latency: { p99: number } }[];
  };
  expect({ status, model }).toEqual({ status: 'done', model: 'iris' });
  expect(results.map(({ failed }) => failed)).toEqual([0, 0, 0]);
  expect(results.every(({ requests, latency }) => requests > 20 && latency.p99 > 0)).toBe(true);
});

it('fails with exit code 3 when a limit is missed', async () => {
  const { code, stdout } = await bench('--duration', '1', '--concurrency', '1', '--max-p99', '0.0001');
  expect(code).toBe(3);
  expect(JSON.parse(stdout)).toMatchObject({ status: 'failed', error: { code: 'MAAS_GATE_FAILED' } });
  expect((JSON.parse(stdout) as { results: unknown[] }).results).toHaveLength(1);
});

it('tells what is wrong with what it was told', async () => {
  await writeFile(join(project.path, 'broken.onnx'), 'no model');
  const cases: [string[], number, string][] = [
    [['--concurrency', '0'], 2, '--concurrency takes a whole number from 1 on, not "0"'],
    [['--duration', 'long'], 2, '--duration takes a number from 0.1 on, not "long"'],
    [['--shape', 'features'], 2, '--shape takes an input and its sizes'],
    [['--header', 'no colon'], 2, '--header takes a name and a value'],
    [['--requests', 'rows.jsonl'], 2, '--requests needs the address'],
    [['http://127.0.0.1:9'], 4, 'cannot reach http://127.0.0.1:9'],
    [['broken.onnx'], 4, 'maas serve ended with exit code 2'],
  ];
  for (const [args, exit, message] of cases) {
    const { code, stderr } = await bench(...args);
    expect({ args, code }).toEqual({ args, code: exit });
    expect(stderr).toContain(message);
  }
}, 60_000);
