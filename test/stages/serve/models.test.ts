import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import { scalar, tensor } from '../../../src/ir/tensor.js';
import {
  openInferenceProtocol,
  predictProtocol,
  tfServingProtocol,
} from '../../../src/stages/serve/index.js';
import { start, type Served } from './start.js';

let root: string;
let served: Served | undefined;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-models-'));
});
afterEach(async () => {
  await served?.stop();
  served = undefined;
});
afterAll(() => rm(root, { recursive: true, force: true }));

const protocols = [predictProtocol, openInferenceProtocol, tfServingProtocol];

function encode(graph: GraphBuilder): Uint8Array {
  const rest = { irVersion: 10, opsets: { '': 21 }, producer: 'test', metadata: {} };
  return encodeModel({ ...rest, graph: graph.build() });
}

/** y = factor · x, of any number of columns; with `mixing` less the mean over the rows. */
function scale(
  factor: number,
  { mixing = false, batch = 'N' }: { mixing?: boolean; batch?: string | number } = {},
): Uint8Array {
  const graph = new GraphBuilder('scale');
  graph.input('x', 'float32', [batch, 'width']);
  let value = graph.op('Mul', ['x', graph.scalar(factor)]);
  if (mixing) value = graph.op('Sub', [value, graph.op('ReduceMean', [value, graph.int64s([0])])]);
  graph.output(value, 'y');
  return encode(graph);
}

/** A file under its name in one step, as a careful person brings it there. */
async function put(path: string, bytes: Uint8Array | string): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(`${path}.part`, bytes);
  await rename(`${path}.part`, path);
}

async function infer(model: string, row: number[], version?: string): Promise<unknown> {
  const path = `/v2/models/${model}${version === undefined ? '' : `/versions/${version}`}/infer`;
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, row.length], data: row }];
  const response = await served!.post(path, { inputs });
  const body = (await response.json()) as { error?: string; outputs?: { data: number[] }[] };
  return body.outputs?.[0]!.data ?? `${response.status} ${body.error!}`;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe('any ONNX file', () => {
  it('is served by its name, with its own tensors, in every protocol', async () => {
    const file = join(root, 'double.onnx');
    await put(file, scale(2));
    served = await start(file, { kind: 'file', protocols });
    expect(await (await served.get('/v2/models/double')).json()).toMatchObject({
      versions: ['1'],
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, -1] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, -1] }],
    });
    expect(await infer('double', [1, 2, 3])).toEqual([2, 4, 6]);
    const rows = await served.post('/predict', [{ x: [1, 2] }, { x: [3, 4] }]);
    expect(await rows.json()).toEqual([
      [2, 4],
      [6, 8],
    ]);
    const row = await served.post('/predict/double', { x: [5] });
    expect(await row.json()).toEqual([10]);
    const tf = await served.post('/v1/models/double:predict', { instances: [[1], [2]] });
    expect(await tf.json()).toEqual({ predictions: [[2], [4]] });
    expect((await served.get('/openapi.json')).status).toBe(200);
    const page = await fetch(served.url, { headers: { accept: 'text/html' } });
    expect(await page.text()).toContain('"name":"double"');
  });

  it('tells what is wrong with a row', async () => {
    const file = join(root, 'double.onnx');
    await put(file, scale(2));
    served = await start(file, { kind: 'file' });
    const answer = await served.post('/predict', { z: [1] });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toEqual({ error: 'rows[0] has no x' });
    expect((await served.post('/predict/triple', { x: [1] })).status).toBe(404);
  });

  it.each([
    ['mixes its rows', { mixing: true }, [-1, 1]],
    ['has a fixed batch', { batch: 2 }, [2, 4]],
  ])('gets each request as it came where it %s', async (_, options, expected) => {
    const file = join(root, 'mixed.onnx');
    await put(file, scale(2, options));
    served = await start(file, { kind: 'file' });
    const ask = async (data: number[]): Promise<unknown> => {
      const inputs = [{ name: 'x', datatype: 'FP32', shape: [2, 1], data }];
      const answer = await served!.post('/v2/models/mixed/infer', { inputs });
      return ((await answer.json()) as { outputs: { data: unknown }[] }).outputs[0]!.data;
    };
    const answers = await Promise.all(
      [
        [9, 9],
        [1, 2],
        [40, 50],
        [1, 2],
      ].map(ask),
    );
    expect(answers[1]).toEqual(expected);
    expect(answers[3]).toEqual(expected);
  });

  it('is loaded anew when it changes, and a broken one is refused', async () => {
    const file = join(root, 'hot.onnx');
    await put(file, scale(1));
    served = await start(file, { kind: 'file', follow: true });
    await put(file, scale(7));
    await until(async () => String(await infer('hot', [1])) === '7');
    await put(file, 'no model');
    await until(() => Promise.resolve(served!.events.some(({ event }) => event === 'warning')));
    expect(await infer('hot', [1])).toEqual([7]);
  });

  it('is refused with its place when it is none', async () => {
    await expect(start(join(root, 'none.onnx'), { kind: 'file' })).rejects.toMatchObject({
      code: 'MAAS_MODEL_INVALID',
      place: { file: join(root, 'none.onnx') },
    });
  });
});

describe('a folder of models', () => {
  it('serves the latest version, others when asked for, and aliases', async () => {
    const folder = join(root, 'many');
    await put(join(folder, 'scale', '9', 'model.onnx'), scale(9));
    await put(join(folder, 'scale', '10', 'model.onnx'), scale(10));
    await symlink('9', join(folder, 'scale', 'stable'));
    await put(join(folder, 'flat.onnx'), scale(3));
    await mkdir(join(folder, 'empty'));
    served = await start(folder, { kind: 'repository' });
    expect((await served.get('/v2/health/ready')).status).toBe(200);
    expect(await infer('scale', [1])).toEqual([10]);
    expect(await infer('scale', [1], 'latest')).toEqual([10]);
    expect(await infer('flat', [1])).toEqual([3]);
    const index = async (): Promise<unknown> => (await served!.post('/v2/repository/index', {})).json();
    expect(await index()).toEqual([
      { name: 'flat', version: '1', state: 'READY', reason: '' },
      { name: 'scale', version: '9', state: 'UNAVAILABLE', reason: 'not asked for yet' },
      { name: 'scale', version: '10', state: 'READY', reason: '' },
    ]);
    expect(await infer('scale', [1], 'stable')).toEqual([9]);
    expect(await infer('scale', [1], '9')).toEqual([9]);
    expect(await infer('scale', [1], '8')).toMatch(/^404 there is no version 8/);
    expect(await infer('nothing', [1])).toMatch(/^404 /);
  });

  it('goes along with what changes in it, and leaves the old version in place of a broken one', async () => {
    const folder = join(root, 'changing');
    await put(join(folder, 'm', '1', 'model.onnx'), scale(1));
    served = await start(folder, { kind: 'repository' });
    await put(join(folder, 'm', '2', 'model.onnx'), 'broken');
    await until(() => Promise.resolve(served!.events.some(({ event }) => event === 'warning')));
    expect(await infer('m', [1])).toEqual([1]);
    await put(join(folder, 'm', '3', 'model.onnx'), scale(3));
    await put(join(folder, 'n', '1', 'model.onnx'), scale(5));
    await until(async () => String(await infer('m', [1])) === '3');
    await until(async () => String(await infer('n', [1])) === '5');
    await put(join(folder, 'm', '3', 'model.onnx'), scale(4));
    await until(async () => String(await infer('m', [1])) === '4');
    await unlink(join(folder, 'n', '1', 'model.onnx'));
    await until(async () => String(await infer('n', [1])).startsWith('404'));
  });

  it('loads and unloads by the repository extension', async () => {
    const folder = join(root, 'orders');
    await put(join(folder, 'm', '1', 'model.onnx'), scale(1));
    served = await start(folder, { kind: 'repository' });
    expect((await served.post('/v2/repository/models/m/unload', {})).status).toBe(200);
    expect(await infer('m', [1])).toMatch(/^404/);
    expect((await served.get('/v2/health/ready')).status).toBe(200);
    await put(join(folder, 'm', '2', 'model.onnx'), scale(2));
    expect((await served.post('/v2/repository/models/m/load', {})).status).toBe(200);
    expect(await infer('m', [1])).toEqual([2]);
    for (const verb of ['load', 'unload']) {
      expect((await served.post(`/v2/repository/models/none/${verb}`, {})).status).toBe(404);
    }
  });

  it('keeps within its memory budget: what was used longest ago goes, and comes back when asked for', async () => {
    const folder = join(root, 'budget');
    const graph = new GraphBuilder('heavy');
    graph.input('x', 'float32', ['N', 1]);
    const weights = graph.constant(tensor('float32', [1, 25_000], new Array<number>(25_000).fill(1)));
    const sum = graph.op('ReduceMean', [graph.op('MatMul', ['x', weights]), graph.int64s([1])]);
    graph.output(graph.op('Mul', [sum, graph.constant(scalar('float32', 1))]), 'y');
    const heavy = encode(graph);
    for (const name of ['a', 'b', 'c']) await put(join(folder, name, '1', 'model.onnx'), heavy);
    served = await start(folder, { kind: 'repository', options: { memoryBudget: 5 * heavy.length } });
    const loaded = async (): Promise<string> => {
      const body = (await (await served!.post('/v2/repository/index', { ready: true })).json()) as {
        name: string;
      }[];
      return body.map(({ name }) => name).join('');
    };
    expect(await loaded()).toHaveLength(2);
    expect(await infer('a', [1])).toEqual([1]);
    expect(await infer('b', [2])).toEqual([2]);
    expect(await loaded()).toBe('ab');
    expect(await infer('c', [3])).toEqual([3]);
    expect(await loaded()).toBe('bc');
    const answers = await Promise.all(['a', 'b', 'c', 'a', 'c'].map((name) => infer(name, [4])));
    for (const answer of answers) expect([[4], expect.stringMatching(/^503/)]).toContainEqual(answer);
    // Two have room: what is loaded for one caller does not make room for the other's before it was asked.
    for (const pair of ['ab', 'bc', 'ca', 'ab', 'bc', 'ca']) {
      expect(await Promise.all(Array.from(pair, (name) => infer(name, [5])))).toEqual([[5], [5]]);
    }
  });

  it('is refused when it is no folder', async () => {
    await expect(start(join(root, 'nowhere'), { kind: 'repository' })).rejects.toMatchObject({
      code: 'MAAS_USAGE',
    });
  });
});
