import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MaasError } from '../../../src/errors.js';
import { importKeras, kerasFiles, loadKeras } from '../../../src/ir/keras/load.js';
import type { WeightSpec } from '../../../src/ir/keras/shards.js';
import { kerasCase } from './fixtures.js';
import { expectNear, runModel } from './predict.js';

let root: string;
let count = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-keras-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function write(json: unknown, shards: Readonly<Record<string, Uint8Array>> = {}): Promise<string> {
  const folder = await mkdtemp(join(root, String(count++)));
  await writeFile(join(folder, 'model.json'), typeof json === 'string' ? json : JSON.stringify(json));
  for (const [name, bytes] of Object.entries(shards)) await writeFile(join(folder, name), bytes);
  return join(folder, 'model.json');
}

const failure = async (work: () => unknown): Promise<MaasError> => {
  try {
    await work();
  } catch (error) {
    return error as MaasError;
  }
  throw new Error('nothing was thrown');
};

const chain = kerasCase('images through a chain');

describe('loadKeras', () => {
  it('reads weights from several shards and groups', async () => {
    const { modelTopology, weightSpecs, weightData } = chain.artifacts;
    const half = weightSpecs.length >> 1;
    const sizeOf = ({ shape }: WeightSpec) => 4 * shape.reduce((product, size) => product * size, 1);
    const cut = weightSpecs.slice(0, half).reduce((sum, spec) => sum + sizeOf(spec), 0);
    const manifest = [
      { paths: ['a.bin'], weights: weightSpecs.slice(0, half) },
      { paths: ['b1.bin', 'b2.bin'], weights: weightSpecs.slice(half) },
    ];
    const file = await write(
      { format: 'layers-model', modelTopology: { model_config: modelTopology }, weightsManifest: manifest },
      {
        'a.bin': weightData.subarray(0, cut),
        // In the middle of a number.
        'b1.bin': weightData.subarray(cut, cut + 13),
        'b2.bin': weightData.subarray(cut + 13),
      },
    );
    expectNear(await runModel(await loadKeras(file), chain.inputs), chain.outputs);
    expect((await kerasFiles(file)).map((path) => path.slice(file.length - 10))).toEqual([
      'model.json',
      'a.bin',
      'b1.bin',
      'b2.bin',
    ]);
  });

  it('puts quantized weights back into numbers', async () => {
    const { modelTopology, weightSpecs } = kerasCase('dense').artifacts;
    const [kernel, bias] = weightSpecs as [WeightSpec, WeightSpec];
    const steps = Uint8Array.from({ length: 12 }, (_, index) => index * 20);
    // 1, −2 and 0.5 in IEEE 754 binary16, little endian.
    const halves = Uint8Array.of(0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38);
    const weights = [
      { ...kernel, quantization: { dtype: 'uint8', scale: 0.01, min: -1 } },
      { ...bias, quantization: { dtype: 'float16' } },
    ];
    const file = await write(
      { modelTopology, weightsManifest: [{ paths: ['w'], weights }] },
      { w: Buffer.concat([steps, halves]) },
    );
    const [y] = await runModel(await loadKeras(file), [
      { dtype: 'float32', dims: [1, 4], data: Float32Array.of(1, 0, 0, 10) },
    ]);
    const kernelAt = (row: number, column: number) => (row * 3 + column) * 20 * 0.01 - 1;
    const wanted = [1, -2, 0.5].map(
      (offset, column) => offset + kernelAt(0, column) + 10 * kernelAt(3, column),
    );
    expectNear([y!], [{ dtype: 'float32', dims: [1, 3], data: Float32Array.from(wanted) }]);
  });

  it.each([
    ['no JSON', '{', /no JSON/],
    ['another JSON', { nodes: [] }, /no modelTopology/],
    ['a graph model', { modelTopology: { node: [], library: {} } }, /graph of TensorFlow operators/],
    ['no class', { modelTopology: { config: {} } }, /no class_name/],
    ['a layer alone', { modelTopology: { class_name: 'Dense', config: {} } }, /no model with layers/],
    ['no layers', { modelTopology: { class_name: 'Sequential', config: { layers: [] } } }, /has no layers/],
    [
      'a missing shard',
      { modelTopology: chain.artifacts.modelTopology, weightsManifest: [{ paths: ['gone'], weights: [] }] },
      /cannot be read.*gone/,
    ],
    [
      'a shard elsewhere',
      { modelTopology: {}, weightsManifest: [{ paths: ['../../etc/passwd'], weights: [] }] },
      /outside of its folder/,
    ],
    ['a broken manifest', { modelTopology: {}, weightsManifest: [{ paths: 'a' }] }, /lacks paths or weights/],
    [
      'a broken weight',
      { modelTopology: {}, weightsManifest: [{ paths: [], weights: [{ name: 'w', shape: [-1] }] }] },
      /describes no weight/,
    ],
    [
      'too few bytes',
      {
        modelTopology: {},
        weightsManifest: [{ paths: [], weights: [{ name: 'w', shape: [4], dtype: 'float32' }] }],
      },
      /take 16 bytes and more/,
    ],
    [
      'a type it does not know',
      {
        modelTopology: {},
        weightsManifest: [{ paths: [], weights: [{ name: 'w', shape: [], dtype: 'string' }] }],
      },
      /w is string/,
    ],
  ])('refuses %s, and names the file', async (_what, json, message) => {
    const file = await write(json);
    const error = await failure(() => loadKeras(file));
    expect(error.message).toMatch(message);
    expect(error.code).toMatch(/^MAAS_MODEL_(INVALID|UNSUPPORTED)$/);
    expect(error.place?.file).toBe(file);
    expect(error.hint).toBeTruthy();
  });

  it('refuses a file that is not there', async () => {
    expect((await failure(() => loadKeras(join(root, 'none.json')))).message).toMatch(/ENOENT/);
  });
});

/** A model of one layer with this config on [N, 4], or on what `shape` says. */
const single = (className: string, config: object, shape: readonly (number | null)[] = [null, 4]) => ({
  class_name: 'Sequential',
  config: {
    name: 'm',
    layers: [{ class_name: className, config: { name: 'it', batch_input_shape: shape, ...config } }],
  },
});
const importOne = (modelTopology: unknown, weights: Readonly<Record<string, number[]>> = {}) => {
  const weightSpecs = Object.entries(weights).map(([name, shape]) => ({ name, shape, dtype: 'float32' }));
  const elements = weightSpecs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  return importKeras({ modelTopology, weightSpecs, weightData: new Uint8Array(4 * elements) });
};

describe('importKeras', () => {
  const sequence = [null, 5, 2];
  it.each([
    ['a layer that it does not know', single('Dens', { units: 2 }), /it \(Dens\).*no layer Dens.*"Dense"/],
    [
      'an activation',
      single('Activation', { activation: 'wobble' }),
      /it \(Activation\).*activation is "wobble"/,
    ],
    ['a setting', single('LeakyReLU', { alpha: 0.1, wobble: 3 }), /it \(LeakyReLU\).*wobble is 3/],
    ['a setting of the wrong kind', single('Dense', { units: 'many' }), /units is "many"/],
    ['a missing setting', single('RepeatVector', {}), /n is missing/],
    ['state between calls', single('LSTM', { units: 2, stateful: true }, sequence), /stateful is true/],
    ['masks', single('Embedding', { input_dim: 3, output_dim: 2, mask_zero: true }), /mask_zero is true/],
    ['an input of text', single('Flatten', { dtype: 'string' }), /dtype is "string"/],
    [
      'a layer for other shapes',
      single('Conv2D', { filters: 2, kernel_size: [2, 2] }),
      /2 axes, and takes 4/,
    ],
    [
      'a function of a cell',
      single('LSTM', { units: 2, activation: 'mish' }, sequence),
      /activation is "mish"/,
    ],
    [
      'another layer in both directions',
      single('Bidirectional', { layer: { class_name: 'Dense', config: {} } }, sequence),
      /layer is/,
    ],
  ])('refuses %s, and names layer and setting', async (_what, topology, message) => {
    const error = await failure(() =>
      importOne(topology, { 'it/kernel': [2, 8], 'it/recurrent_kernel': [2, 8], 'it/bias': [8] }),
    );
    expect(error.message).toMatch(message);
    expect(error.code).toBe('MAAS_MODEL_UNSUPPORTED');
  });

  const dense = single('Dense', { units: 2 });
  it.each([
    ['missing', { 'it/kernel': [4, 2] }, /no weight it\/bias/],
    ['of another shape', { 'it/kernel': [3, 2], 'it/bias': [2] }, /kernel is \[3, 2\].*wants \[4, 2\]/],
    [
      'too many',
      { 'it/kernel': [4, 2], 'it/bias': [2], 'other/bias': [2] },
      /no layer has the weights other\/bias/,
    ],
    [
      'ambiguous',
      { 'a/it/kernel': [4, 2], 'b/it/kernel': [4, 2], 'it/bias': [2] },
      /could both be it\/kernel/,
    ],
  ])('refuses weights that are %s', async (_what, weights, message) => {
    expect((await failure(() => importOne(dense, weights as Record<string, number[]>))).message).toMatch(
      message,
    );
  });

  it('finds weights by the names of all versions of Keras', () => {
    for (const prefix of ['it', 'm/it', 'it/it', 'model/m/it']) {
      const names = [`${prefix}/kernel`, `${prefix}/bias:0`];
      const model = importOne(dense, { [names[0]!]: [4, 2], [names[1]!]: [2] });
      expect([...model.graph.initializers.keys()]).toEqual(['it/kernel', 'it/bias']);
    }
  });

  it('reads the calls of Keras 3', () => {
    const history = (layer: string) => ({
      class_name: '__keras_tensor__',
      config: { keras_history: [layer, 0, 0] },
    });
    const node = (...layers: string[]) => [
      { args: [layers.length > 1 ? layers.map(history) : history(layers[0]!)], kwargs: {} },
    ];
    const topology = {
      class_name: 'Functional',
      config: {
        name: 'functional',
        layers: [
          {
            class_name: 'InputLayer',
            name: 'x',
            config: { batch_shape: [null, 4], dtype: 'float32', name: 'x' },
            inbound_nodes: [],
          },
          {
            class_name: 'ReLU',
            name: 'r',
            config: { max_value: null, negative_slope: 0, threshold: 0 },
            inbound_nodes: node('x'),
          },
          { class_name: 'Add', name: 'sum', config: { name: 'sum' }, inbound_nodes: node('x', 'r') },
        ],
        input_layers: ['x', 0, 0],
        output_layers: ['sum', 0, 0],
      },
    };
    const { graph } = importOne(topology);
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Relu', 'Add', 'Identity']);
    expect(graph.outputs.map(({ name }) => name)).toEqual(['sum']);
  });

  it('leaves open what the file leaves open', async () => {
    const shape = [null, null, null, 1];
    const config = { filters: 1, kernel_size: [3, 3], padding: 'same', strides: [2, 2], use_bias: false };
    const model = importOne(single('Conv2D', config, shape), { 'it/kernel': [3, 3, 1, 1] });
    for (const [height, width] of [
      [5, 4],
      [2, 7],
    ] as const) {
      const data = new Float32Array(height * width);
      const [y] = await runModel(model, [{ dtype: 'float32', dims: [1, height, width, 1], data }]);
      expect(y!.dims).toEqual([1, Math.ceil(height / 2), Math.ceil(width / 2), 1]);
    }
  });

  it('turns images once on their way in, and not between layers', () => {
    const { nodes } = importKeras(chain.artifacts).graph;
    expect(nodes.filter(({ op }) => op === 'Transpose')).toHaveLength(2);
  });

  it('normalizes any axis', async () => {
    const topology = single('BatchNormalization', { axis: 1, epsilon: 0 }, [null, 2, 3]);
    const weightSpecs = ['gamma', 'beta', 'moving_mean', 'moving_variance'].map((part) => ({
      name: `it/${part}`,
      shape: [2],
      dtype: 'float32',
    }));
    const weightData = new Uint8Array(Float32Array.of(2, 3, 1, -1, 0, 10, 4, 16).buffer);
    const [y] = await runModel(importKeras({ modelTopology: topology, weightSpecs, weightData }), [
      { dtype: 'float32', dims: [1, 2, 3], data: Float32Array.of(2, 4, 6, 10, 14, 18) },
    ]);
    expectNear([y!], [{ dtype: 'float32', dims: [1, 2, 3], data: Float32Array.of(3, 5, 7, -1, 2, 5) }]);
  });
});
