import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ConfigPath } from '../../../../src/config/index.js';
import type { Dataset } from '../../../../src/data/dataset.js';
import { MaasError } from '../../../../src/errors.js';
import { attr, type Graph, type Model } from '../../../../src/ir/graph.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import { numbersOf, tensor, type NdArray } from '../../../../src/ir/tensor.js';
import type { Project } from '../../../../src/plugin/api.js';
import { openSession } from '../../../../src/runtime/session.js';
import { buildModel } from '../../../../src/stages/train/build-model.js';
import { modelSchema } from '../../../../src/stages/train/model-config.js';
import { adoptModel } from '../../../../src/stages/train/fine-tune/adopt-model.js';
import type { FineTuneOptions } from '../../../../src/stages/train/fine-tune/config.js';
import { openFile } from '../../../../src/stages/train/fine-tune/open-file.js';
import { amountDataset, mixedDataset } from '../datasets.js';

const root = new URL('../../../fixtures/onnx/', import.meta.url).pathname;
const project: Project = { name: 'p', seed: 1, root, configFile: `${root}maas.config.yaml`, config: {} };
const read = (name: string): Promise<Model> => openFile(project, { key: 'onnx', file: `${name}.onnx` });
const at = { seed: 1, place: (path: ConfigPath) => ({ file: path.join('.') }) };
const adopt = (model: Model, dataset: Dataset, options: Partial<FineTuneOptions> = {}) =>
  adoptModel(model, { onnx: 'model.onnx', ...options }, dataset, at);

/** Rows of `columns` numbers, one class for each of `labels`. */
function rowsOf(columns: number, labels: readonly string[]): Dataset {
  const base = mixedDataset();
  const features = Array.from({ length: columns }, (_, column) => ({
    name: `c${column}`,
    type: 'number' as const,
    input: 'features',
    column,
  }));
  return {
    ...base,
    signature: {
      ...base.signature,
      features,
      inputs: [{ name: 'features', dtype: 'float32', shape: ['N', columns] }],
      outputs: [
        { name: 'label', dtype: 'string', shape: ['N'] },
        { name: 'probabilities', dtype: 'float32', shape: ['N', labels.length] },
      ],
      target: { name: 'kind', labels },
    },
  };
}

async function run(model: Model, feeds: Record<string, NdArray>): Promise<Record<string, NdArray>> {
  const session = await openSession(encodeModel(model));
  try {
    return await session.run(feeds);
  } finally {
    await session.close();
  }
}

const input = (dims: readonly number[]): NdArray => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, index) => Math.sin(index * 1.7)),
});

function softmax(rows: readonly number[], width: number): number[] {
  return rows.map((_, index) => {
    const row = rows.slice(index - (index % width), index - (index % width) + width);
    return Math.exp(rows[index]!) / row.reduce((sum, value) => sum + Math.exp(value), 0);
  });
}

const close = (found: NdArray, expected: readonly number[]): void => {
  expect(found.data.length).toBe(expected.length);
  expected.forEach((value, index) => {
    expect(found.data[index]).toBeCloseTo(value, 5);
  });
};

const four = ['a', 'b', 'c', 'd'];

describe('adoptModel', () => {
  it.each(['mlp-torch', 'mlp-torchscript'])('says what %s says, in the form of the house', async (name) => {
    const model = await read(name);
    const draft = adopt(model, rowsOf(4, four));
    const { y } = await run(model, { x: input([5, 4]) });
    const { probabilities, label } = await run(draft.model, { features: input([5, 4]) });
    const expected = softmax(Array.from(y!.data, Number), 4);
    close(probabilities!, expected);
    const best = [0, 1, 2, 3, 4].map((row) => {
      const of = expected.slice(row * 4, row * 4 + 4);
      return four[of.indexOf(Math.max(...of))];
    });
    expect(label).toMatchObject({ dtype: 'string', dims: [5], data: best });
    expect(draft.trainable).toEqual([
      'stem.weight',
      'stem.bias',
      'norm.weight',
      'norm.bias',
      'block.0.weight',
      'block.0.bias',
      'block.3.weight',
      'block.3.bias',
      'head.weight',
      'head.bias',
    ]);
    expect(draft.notes).toEqual(['trains 10 of 10 weights of model.onnx']);
  });

  it.each(['cnn-torch', 'cnn-torchscript'])('shapes rows to the images that %s takes', async (name) => {
    const model = await read(name);
    const draft = adopt(model, rowsOf(64, four));
    const images = input([3, 1, 8, 8]);
    const { y } = await run(model, { x: images });
    const { probabilities } = await run(draft.model, { features: { ...images, dims: [3, 64] } });
    // Its own softmax gives way to that of the house.
    close(probabilities!, Array.from(y!.data, Number));
    expect(draft.model.graph.nodes.filter(({ op }) => op === 'Softmax')).toHaveLength(1);
    expect(draft.trainable).toHaveLength(6);
  });

  it('gives it a new head for another number of classes', async () => {
    const model = await read('mlp-torchscript');
    const draft = adopt(model, rowsOf(4, ['yes', 'no']));
    expect(draft.trainable.slice(-2)).toEqual(['head/kernel', 'head/bias']);
    expect(draft.trainable).not.toContain('head.weight');
    expect(draft.model.graph.initializers.has('head.weight')).toBe(false);
    expect(draft.notes?.[1]).toBe('gave it a new head, with 2 outputs, on /Reshape_1_output_0');

    const before: Model = { ...model, graph: { ...model.graph, outputs: [{ name: '/Reshape_1_output_0' }] } };
    const hidden = Array.from((await run(before, { x: input([2, 4]) }))['/Reshape_1_output_0']!.data, Number);
    const kernel = numbersOf(draft.model.graph.initializers.get('head/kernel')!);
    const logits = [0, 1].flatMap((row) =>
      [0, 1].map((unit) =>
        Array.from({ length: 16 }, (_, at) => hidden[row * 16 + at]! * kernel[at * 2 + unit]!).reduce(
          (a, b) => a + b,
        ),
      ),
    );
    close((await run(draft.model, { features: input([2, 4]) }))['probabilities']!, softmax(logits, 2));
    // From the same seed the same first weights.
    expect(adopt(model, rowsOf(4, ['yes', 'no'])).model).toEqual(draft.model);
  });

  it('gives one amount for a regression', async () => {
    const { signature, ...rest } = amountDataset();
    const inputs = [{ name: 'features', dtype: 'float32' as const, shape: ['N', 4] }];
    const draft = adopt(await read('mlp-torch'), { ...rest, signature: { ...signature, inputs } });
    const { prediction } = await run(draft.model, { features: input([6, 4]) });
    expect(prediction!.dims).toEqual([6]);
    expect(draft.notes?.[1]).toMatch(/^gave it a new head, with 1 output, on /);
  });

  it('replaces the head of amounts that are learned in standard deviations', () => {
    const { layers } = modelSchema.parse({ layers: [{ dense: { units: 4 } }, 'dense'] });
    const data = amountDataset();
    const { model } = buildModel(layers!, data, { seed: 1, place: (path) => ({ file: path.join('.') }) });
    expect(adopt(model, data, { head: 'new' }).trainable).toEqual([
      ...['dense_1/kernel', 'dense_1/bias', 'head/kernel', 'head/bias'],
    ]);
    expect(adopt(model, data, { head: 'keep' }).trainable).toHaveLength(4);
  });

  it('puts a head where it is told to, and keeps one that it is told to keep', async () => {
    const model = await read('mlp-torch');
    const draft = adopt(model, rowsOf(4, four), { head: { after: 'tanh' } });
    expect(draft.trainable).toEqual(['stem.weight', 'stem.bias', 'head/kernel', 'head/bias']);
    expect(adopt(model, rowsOf(4, four), { head: 'new' }).trainable).toContain('head/kernel');
    expect(() => adopt(model, rowsOf(4, ['a', 'b']), { head: 'keep' })).toThrow(
      expect.objectContaining({
        code: 'MAAS_MODEL_SHAPE',
        message: 'the model gives [N, 4], and the data needs 2 for each row',
        place: { file: 'train.model.head' },
      }) as Error,
    );
  });

  it('trains what the patterns leave', async () => {
    const model = await read('mlp-torch');
    const only = adopt(model, rowsOf(4, four), { train: ['head.*', 'block.3.*'], freeze: ['*.bias'] });
    expect(only.trainable).toEqual(['block.3.weight', 'head.weight']);
    expect(only.notes?.[0]).toBe(
      'trains 2 of 10 weights of model.onnx; frozen: stem.weight, stem.bias, norm.weight, norm.bias, block.0.weight, block.0.bias, block.3.bias, head.bias',
    );
    const head = adopt(model, rowsOf(4, ['a', 'b']), { freeze: ['*'] });
    expect(head.trainable).toEqual(['head/kernel', 'head/bias']);
  });

  it('scales and looks up before it when asked to', async () => {
    // Two numbers and two colours are four columns.
    const draft = adopt(await read('mlp-torch'), mixedDataset(), { preprocess: true });
    const { label } = await run(draft.model, {
      features: input([2, 2]),
      colour: { dtype: 'string', dims: [2, 1], data: ['red', 'blue'] },
    });
    expect(label!.dims).toEqual([2]);
  });

  it('takes weights from Constant nodes, through a transposition, under names that the house needs itself', async () => {
    const constant = (name: string, dims: number[], values: number[]) => ({
      op: 'Constant',
      domain: '',
      name: '',
      inputs: [],
      outputs: [name],
      attributes: { value: attr.tensor(tensor('float32', dims, values)) },
    });
    const node = (op: string, inputs: string[], output: string) => ({
      op,
      domain: '',
      name: op,
      inputs,
      outputs: [output],
      attributes: {},
    });
    const graph: Graph = {
      name: 'g',
      inputs: [{ name: 'features', dtype: 'float32', shape: ['', 2] }],
      outputs: [{ name: 'label', dtype: 'float32' }],
      initializers: new Map(),
      values: new Map(),
      nodes: [
        constant('probabilities', [3, 2], [1, 2, 3, 4, 5, 6]),
        constant('half', [], [0.5]),
        constant('mean', [2], [1, 1]),
        node('Sub', ['features', 'mean'], 'centred'),
        node('Mul', ['centred', 'half'], 'scaled'),
        node('Transpose', ['probabilities'], 'turned'),
        node('MatMul', ['scaled', 'turned'], 'product'),
        constant('bias', [3], [1, 0, -1]),
        node('Add', ['product', 'bias'], 'label'),
      ],
    };
    const bytes = encodeModel({ irVersion: 8, opsets: { '': 15 }, producer: '', graph, metadata: {} });
    const folder = await mkdtemp(join(tmpdir(), 'maas-adopt-'));
    try {
      await writeFile(`${folder}/model.onnx`, bytes);
      const model = await openFile({ ...project, root: folder }, { key: 'onnx', file: 'model.onnx' });
      expect(model.opsets['']).toBe(16);
      const draft = adopt(model, rowsOf(2, ['a', 'b', 'c']));
      expect(draft.trainable).toEqual(['probabilities_1', 'bias']);
      const { probabilities } = await run(draft.model, {
        features: { dtype: 'float32', dims: [1, 2], data: Float32Array.of(3, 5) },
      });
      // ((3, 5) − 1) / 2 = (1, 2)
      close(probabilities!, softmax([1 + 4 + 1, 3 + 8, 5 + 12 - 1], 3));
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.each<[string, string, () => Dataset, Partial<FineTuneOptions>, string, string, string]>([
    [
      'other columns',
      'mlp-torch',
      () => rowsOf(3, four),
      {},
      'MAAS_MODEL_SHAPE',
      "the model's input x is [batch, 4], and the data has 3 columns of numbers",
      'train.model.onnx',
    ],
    [
      'text without a look-up',
      'mlp-torch',
      mixedDataset,
      {},
      'MAAS_MODEL_SHAPE',
      'the model takes numbers, and the data has the text column colour',
      'train.model.onnx',
    ],
    [
      'a pattern for nothing',
      'mlp-torch',
      () => rowsOf(4, four),
      { freeze: ['stem.*', 'stem.wieght'] },
      'MAAS_CONFIG_INVALID',
      'no weight of the model is called stem.wieght',
      'train.model.freeze.1',
    ],
    [
      'all frozen',
      'mlp-torch',
      () => rowsOf(4, four),
      { freeze: ['*'] },
      'MAAS_CONFIG_INVALID',
      'all 10 weights of the model are frozen',
      'train.model.freeze',
    ],
    [
      'a head on nothing',
      'mlp-torch',
      () => rowsOf(4, four),
      { head: { after: 'pool' } },
      'MAAS_CONFIG_INVALID',
      'the model has no value pool',
      'train.model.head.after',
    ],
    [
      'a head on images',
      'cnn-torch',
      () => rowsOf(64, four),
      { head: { after: 'relu_1' } },
      'MAAS_MODEL_SHAPE',
      'a new head needs a value [N, features], and relu_1 is [N, 16, 4, 4]',
      'train.model.head',
    ],
    [
      'an output that is not there',
      'mlp-torch',
      () => rowsOf(4, four),
      { output: 'z' },
      'MAAS_CONFIG_INVALID',
      'the model has no output z of float32',
      'train.model.output',
    ],
  ])('refuses %s', async (_, name, dataset, options, code, message, file) => {
    const model = await read(name);
    const attempt = (): unknown => adopt(model, dataset(), options);
    expect(attempt).toThrow(MaasError);
    expect(attempt).toThrow(expect.objectContaining({ code, message, place: { file } }) as Error);
  });

  it('says that a batch of fixed size will not do', async () => {
    const model = await read('mlp-torch');
    const [x] = model.graph.inputs;
    const graph = { ...model.graph, inputs: [{ ...x!, shape: [1, 4] }] };
    expect(() => adopt({ ...model, graph }, rowsOf(4, four))).toThrow('it takes one row at a time');
  });

  it('says where a file is looked for', async () => {
    await expect(read('nowhere')).rejects.toMatchObject({
      code: 'MAAS_MODEL_INVALID',
      message: 'there is no model nowhere.onnx',
    });
  });
});
