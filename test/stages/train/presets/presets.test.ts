import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConfigPath } from '../../../../src/config/index.js';
import type { Dataset, Table } from '../../../../src/data/dataset.js';
import type { Project } from '../../../../src/plugin/api.js';
import { buildModel } from '../../../../src/stages/train/build-model.js';
import { trainOptions, type TrainOptions } from '../../../../src/stages/train/config.js';
import { onnxEngine } from '../../../../src/stages/train/index.js';
import type { presets, PresetChoice } from '../../../../src/stages/train/presets/index.js';
import { resolveFit } from '../../../../src/stages/train/resolve-fit.js';
import { noise } from '../engines/onnx/jobs.js';

const side = 8;
const schema = trainOptions({ engines: new Map([['onnx', onnxEngine]]) });
const place = (path: ConfigPath) => ({ file: path.join('.') });
const parse = (preset: unknown): TrainOptions =>
  schema.parse({ model: { preset }, optimizer: { adam: { learningRate: 0.01 } } });
const choose = (preset: unknown): PresetChoice => parse(preset).model!.preset!;

/** Images of noise with a bright quarter, which is their class. */
function quarters(split: string, rows: number): Table {
  const data = noise(rows * side * side, split).map((value, at) => {
    const [row, pixel] = [Math.floor(at / (side * side)), at % (side * side)];
    const quarter = (pixel % side < side / 2 ? 0 : 1) + (pixel < (side * side) / 2 ? 0 : 2);
    return value + (quarter === row % 4 ? 2 : 0);
  });
  const target = BigInt64Array.from({ length: rows }, (_, row) => BigInt(row % 4));
  return {
    rows,
    lines: new Uint32Array(rows),
    inputs: { features: { dtype: 'float32', dims: [rows, side * side], data } },
    target: { dtype: 'int64', dims: [rows], data: target },
  };
}

function dataset(width = side * side): Dataset {
  const table = quarters('rows', 64);
  return {
    digest: 'd'.repeat(64),
    statistics: {
      features: { mean: new Float32Array(width), deviation: new Float32Array(width).fill(1) },
    },
    splits: { train: table, validation: table, test: table },
    signature: {
      schemaVersion: 1,
      name: 'quarters',
      task: 'classification',
      features: Array.from({ length: width }, (_, column) => ({
        ...{ name: `p${column}`, type: 'number' as const, input: 'features' },
        ...{ column, min: -2, max: 4 },
      })),
      inputs: [{ name: 'features', dtype: 'float32', shape: ['N', width] }],
      outputs: [
        { name: 'label', dtype: 'string', shape: ['N'] },
        { name: 'probabilities', dtype: 'float32', shape: ['N', 4] },
      ],
      target: { name: 'quarter', labels: ['a', 'b', 'c', 'd'] },
      data: { digest: 'd'.repeat(64) },
    },
  };
}

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'maas-presets-'));
});
afterAll(() => rm(work, { recursive: true }));

const shape = [1, side, side];
/** Those that predict a target. */
const small: Readonly<Record<Exclude<keyof typeof presets, 'autoencoder'>, object>> = {
  mlp: { units: [16], dropout: 0.1 },
  cnn: { shape, filters: [4, 8], units: [16], pooling: 'average', dropout: 0.1 },
  resnet: { shape, filters: [4, 8], blocks: 1, dropout: 0.1 },
  mobilenet: { shape, filters: [8, 16], blocks: 1, width: 0.5, dropout: 0.1 },
  lstm: { shape: [side, side], units: [8], bidirectional: true, dropout: 0.1 },
  transformer: { shape: [side, side], units: 8, heads: 2, layers: 1 },
};

describe('presets', () => {
  it.each(Object.entries(small))('%s learns', async (name, options) => {
    const data = dataset();
    const parsed = parse({ [name]: options });
    const draft = buildModel(parsed.model!.preset!, data, { seed: 3, place });
    const project: Project = { name: 'p', seed: 3, root: '/', configFile: '/maas.config.yaml', config: {} };
    const { history } = await onnxEngine.train({
      ...draft,
      ...resolveFit(parsed, data, project),
      dataset: data,
      ...{ epochs: 12, batchSize: 16, seed: 3, threads: 1, options: {} },
      work: join(work, name),
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    const [first, last] = [history[0]!, history.at(-1)!];
    expect(last.loss).toBeLessThan(first.loss * 0.7);
    expect(last.validationLoss).toBeLessThan(1);
  });

  it.each(Object.keys(small))('%s has defaults that fit 8 × 8 numbers', (name) => {
    const sizes = ['lstm', 'transformer'].includes(name) ? [side, side] : shape;
    const options = name === 'mlp' ? {} : { shape: sizes };
    const { model } = buildModel(choose({ [name]: options }), dataset(), { seed: 1, place });
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(['label', 'probabilities']);
  });

  it('autoencoder mirrors its layers around the code', () => {
    const data = dataset();
    const outputs = [{ name: 'prediction', dtype: 'float32' as const, shape: ['N'] }];
    const signature = {
      ...data.signature,
      task: 'regression' as const,
      reconstructs: true as const,
      outputs,
      target: { name: 'quarter' },
    };
    const sizesOf = (options: object) => {
      const draft = buildModel(choose({ autoencoder: options }), { ...data, signature }, { seed: 1, place });
      expect(draft.amounts).toBeUndefined();
      const kernels = draft.trainable.filter((name) => name.endsWith('kernel'));
      return kernels.map((name) => draft.model.graph.initializers.get(name)!.dims[1]);
    };
    expect(sizesOf({})).toEqual([64, 21, 64, 64]);
    expect(sizesOf({ units: [32, 16, 4] })).toEqual([32, 16, 4, 16, 32, 64]);
    expect(sizesOf({ units: [3] })).toEqual([3, 64]);
  });

  it.each<[string, unknown, string, string, string]>([
    [
      'an autoencoder with a target',
      'autoencoder',
      'gives back the row that it takes, and the data has a target',
      'Write data.task: reconstruction, or use another preset.',
      'autoencoder',
    ],
    [
      'an image without its shape',
      'cnn',
      'takes images [channels, height, width], a row of the data is 64 numbers',
      'Say what they make, such as shape: [1, 8, 8].',
      'cnn',
    ],
    [
      'a sequence without its shape',
      'transformer',
      'takes sequences [steps, features], a row of the data is 64 numbers',
      'Say what they make, such as shape: [1, 64].',
      'transformer',
    ],
    [
      'a shape of other numbers',
      { resnet: { shape: [3, 8, 8] } },
      'has the shape [3, 8, 8]: 192 numbers, a row of the data has 64',
      'Write sizes that multiply to 64, such as shape: [1, 8, 8].',
      'resnet.shape',
    ],
    [
      'more halvings than pixels',
      { cnn: { shape, filters: [4, 4, 4, 4] } },
      'halves the image 4 times, once for each of its filters: 8 × 8 pixels can be halved 3 times',
      'Write no more than 3 filters, or pooling: none.',
      'cnn.filters',
    ],
    [
      'a halving of lines',
      { cnn: { shape: [1, 1, 64] } },
      'halves the image 2 times, once for each of its filters: 1 × 64 pixels can be halved 0 times',
      'Write pooling: none.',
      'cnn.filters',
    ],
  ])('refuse %s', (_, preset, message, hint, file) => {
    const choice = choose(preset);
    expect(() => buildModel(choice, dataset(), { seed: 1, place })).toThrow(
      expect.objectContaining({
        code: 'MAAS_MODEL_SHAPE',
        message: `train.model.preset.${choice.name} ${message}`,
        hint,
        place: { file: `train.model.preset.${file}` },
      }) as Error,
    );
  });

  it('fit rows of any number, or say at the preset why not', () => {
    for (const width of [1, 2, 5]) {
      for (const name of ['cnn', 'resnet', 'mobilenet'] as const) {
        const build = () =>
          buildModel(choose({ [name]: { shape: [1, 1, width] } }), dataset(width), { seed: 1, place });
        if (name === 'cnn') expect(build).toThrow(/^train\.model\.preset\.cnn halves the image/);
        else expect(build).not.toThrow();
      }
    }
  });

  it('refuse heads that do not divide the units where they are written', () => {
    const { error } = schema.safeParse({ model: { preset: { transformer: { units: 10, heads: 4 } } } });
    expect(error!.issues).toMatchObject([
      {
        path: ['model', 'preset', 'transformer', 'heads'],
        message: 'the heads must divide the units evenly',
      },
    ]);
  });
});
