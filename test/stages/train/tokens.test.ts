import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { dataSchema, encodeRows, loadDataset, type Dataset } from '../../../src/data/index.js';
import type { NdArray } from '../../../src/ir/tensor.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import { openSession } from '../../../src/runtime/session.js';
import { checkInputs } from '../../../src/stages/serve/check-inputs.js';
import { buildModel } from '../../../src/stages/train/build-model.js';
import { writeNpy } from '../../../src/stages/train/engines/command/npy.js';
import { onnxEngine } from '../../../src/stages/train/index.js';
import { layers } from '../../../src/stages/train/layers/index.js';
import { layerSchema } from '../../../src/stages/train/layers/list-schema.js';

const steps = 6;
const rows = 160;
let root: string;
let dataset: Dataset;

/** Six tokens with 1 and 2 among them, and which of the two comes first. */
function sentence(row: number): { tokens: number[]; first: number } {
  const tokens = Array.from({ length: steps }, (_, at) => 3 + ((row * 7 + at * (row % 5)) % 4));
  const [a, b] = [row % steps, (row + 1 + (row % (steps - 1))) % steps];
  tokens[a] = 1;
  tokens[b] = 2;
  return { tokens, first: a < b ? 1 : 2 };
}

const save = (file: string, array: NdArray) => writeNpy(join(root, file), array, () => [array]);
const load = (config: object = {}) =>
  loadDataset(dataSchema.parse({ source: 'x.npy', target: 'y.npy', types: { x: 'tokens' }, ...config }), {
    root,
    seed: 1,
    name: 'order',
  });
const place = () => ({ file: 'maas.config.yaml' });
const draft = (written: readonly unknown[]) =>
  buildModel(z.array(layerSchema(() => layers)).parse(written), dataset, { seed: 1, place });

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-tokens-'));
  const all = Array.from({ length: rows }, (_, row) => sentence(row));
  const tokens = Int32Array.from(all.flatMap((each) => each.tokens));
  await save('x.npy', { dtype: 'int32', dims: [rows, steps], data: tokens });
  await save('y.npy', { dtype: 'uint8', dims: [rows], data: Uint8Array.from(all, ({ first }) => first) });
  dataset = await load();
});
afterAll(() => rm(root, { recursive: true }));

describe('rows of token ids', () => {
  it('are an input of whole numbers, whose range the signature tells', () => {
    expect(dataset.signature.features).toEqual([
      { name: 'x', type: 'array', input: 'x', column: 0, shape: [steps], ids: 7 },
    ]);
    expect(dataset.signature.inputs).toEqual([{ name: 'x', dtype: 'int64', shape: ['N', steps] }]);
  });

  it.each([
    ['lstm', { units: 12 }],
    ['bidirectional', { layer: { gru: { units: 8 } } }],
  ])('teach a model with an embedding and %s the order of tokens', async (name, options) => {
    const drafted = draft([{ embedding: { outputDim: 6 } }, { [name]: options }, 'dense']);
    const work = await mkdtemp(join(root, 'work-'));
    const { model } = await onnxEngine.train({
      ...drafted,
      dataset,
      loss: { name: 'sparseCategoricalCrossentropy' },
      optimizer: { name: 'adam', learningRate: 0.03 },
      metrics: [],
      epochs: 25,
      batchSize: 16,
      seed: 1,
      threads: 1,
      options: {},
      work,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    const session = await openSession(encodeModel(model));
    const fresh = Array.from({ length: 40 }, (_, row) => sentence(row + 1000));
    const encoded = encodeRows(
      dataset.signature,
      fresh.map(({ tokens }) => ({ x: tokens })),
    );
    if (!encoded.ok) throw new Error(encoded.errors[0]!.message);
    const { label } = await session.run(encoded.inputs);
    await session.close();
    const right = fresh.filter(({ first }, row) => label!.data[row] === String(first));
    expect(right.length).toBeGreaterThan(36);
  });

  it('are refused from outside of their range, by name', () => {
    const bad = (value: unknown) => encodeRows(dataset.signature, [{ x: [0, 1, 2, 3, 4, value] }]);
    expect(bad(6)).toMatchObject({ ok: true });
    for (const value of [7, -1, 1.5, NaN]) {
      expect(bad(value)).toMatchObject({
        ok: false,
        errors: [{ field: 'x', message: expect.stringContaining('') as string }],
      });
    }
    expect(bad(7)).toMatchObject({
      errors: [{ message: 'row 0: field "x" must hold ids, whole numbers from 0 to 6, found 7' }],
    });
    const data = BigInt64Array.of(0n, 1n, 2n, 3n, 4n, 7n);
    const x = { dtype: 'int64' as const, dims: [1, steps], data };
    expect(() => checkInputs(dataset.signature, { x }, dataset.signature.features)).toThrow(
      'input x holds ids from 0 to 6, not 7',
    );
  });

  it.each<[string, readonly unknown[], string]>([
    ['dense', ['dense'], 'takes numbers, what comes before it gives ids'],
    ['short', [{ embedding: { inputDim: 5, outputDim: 2 } }, 'flatten', 'dense'], 'the data has 7'],
    [
      'twice',
      [{ embedding: { outputDim: 2 } }, { embedding: { outputDim: 2 } }, 'flatten', 'dense'],
      'layers[1].embedding takes ids, what comes before it gives numbers',
    ],
  ])('are refused where layers do not fit: %s', (_what, written, message) => {
    expect(() => draft(written)).toThrow(
      expect.objectContaining({
        code: 'MAAS_MODEL_SHAPE',
        message: expect.stringContaining(message) as string,
      }) as Error,
    );
  });

  it.each([
    ['fractions', 'float32', Float32Array.of(0, 1, 2, 3.5), 'it has 3.5 in row 2'],
    ['below zero', 'int32', Int32Array.of(0, 1, -2, 3), 'it has -2 in row 2'],
  ] as const)('are refused when they are no ids: %s', async (_what, dtype, data, message) => {
    await save('bad.npy', { dtype, dims: [2, 2], data });
    await save('two.npy', { dtype: 'uint8', dims: [2], data: Uint8Array.of(0, 1) });
    await expect(load({ source: 'bad.npy', target: 'two.npy' })).rejects.toThrow(message);
  });

  it('are arrays', async () => {
    await save('one.npy', {
      dtype: 'int32',
      dims: [rows, 1],
      data: Int32Array.from({ length: rows }, (_, at) => at),
    });
    await expect(load({ source: 'one.npy' })).rejects.toThrow('data.types says tokens for "x"');
  });
});
