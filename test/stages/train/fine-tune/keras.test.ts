import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConfigPath } from '../../../../src/config/index.js';
import type { Dataset } from '../../../../src/data/dataset.js';
import type { MaasError } from '../../../../src/errors.js';
import type { NdArray } from '../../../../src/ir/tensor.js';
import type { Project } from '../../../../src/plugin/api.js';
import { adoptModel } from '../../../../src/stages/train/fine-tune/adopt-model.js';
import type { FileKey } from '../../../../src/stages/train/fine-tune/config.js';
import { digestModel, openFile } from '../../../../src/stages/train/fine-tune/open-file.js';
import { kerasCase, type KerasCase } from '../../../ir/keras/fixtures.js';
import { expectNear, runModel } from '../../../ir/keras/predict.js';
import { mixedDataset } from '../datasets.js';

let root: string;
let project: Project;
let count = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-keras-'));
  project = { name: 'p', seed: 3, root, configFile: join(root, 'maas.config.yaml'), config: {} };
});
afterAll(() => rm(root, { recursive: true, force: true }));

const open = (key: FileKey, file: string) => openFile(project, { key, file });
const place = (path: ConfigPath) => ({ file: path.join('.') });

async function failure(work: Promise<unknown>): Promise<MaasError> {
  return work.then(
    () => expect.unreachable(),
    (error: unknown) => error as MaasError,
  );
}

/** Writes model.json with its weights; returns its name. */
async function writeKeras({ artifacts }: KerasCase): Promise<string> {
  const name = `model-${count++}`;
  const { modelTopology, weightSpecs, weightData } = artifacts;
  const weightsManifest = [{ paths: [`${name}.bin`], weights: weightSpecs }];
  await writeFile(join(root, `${name}.json`), JSON.stringify({ modelTopology, weightsManifest }));
  await writeFile(join(root, `${name}.bin`), weightData);
  return `${name}.json`;
}

async function writeModule(text: string): Promise<string> {
  const name = `model-${count++}.mjs`;
  await writeFile(join(root, name), text);
  return name;
}

/** Rows that are arrays, one class for each of `classes`. */
function arraysOf(sizes: readonly number[], classes: number): Dataset {
  const base = mixedDataset();
  const labels = Array.from({ length: classes }, (_, at) => `class ${at}`);
  return {
    ...base,
    signature: {
      ...base.signature,
      features: [{ name: 'pixels', type: 'array', input: 'pixels', column: 0 }],
      inputs: [{ name: 'pixels', dtype: 'float32', shape: ['N', ...sizes] }],
      target: { name: 'kind', labels },
    },
  };
}

function softmax(rows: NdArray): NdArray<'float32'> {
  const width = rows.dims[1]!;
  const powers = Array.from(rows.data as Float32Array, Math.exp);
  const sum = (at: number) =>
    powers.slice(at - (at % width), at - (at % width) + width).reduce((a, b) => a + b);
  return {
    dtype: 'float32',
    dims: rows.dims,
    data: Float32Array.from(powers, (power, at) => power / sum(at)),
  };
}

describe('model.keras', () => {
  it('is put between the data and the labels, and can be trained', async () => {
    const dense = kerasCase('dense');
    const file = await writeKeras(dense);
    const model = await open('keras', file);
    const draft = adoptModel(model, { keras: file }, arraysOf([4], 3), { seed: 1, place });
    expect(draft.trainable.map((name) => name.replace(/^.*\//, ''))).toEqual(['kernel', 'bias']);
    const [, probabilities] = await runModel(draft.model, dense.inputs);
    expectNear([probabilities!], [softmax(dense.outputs[0]!)]);
  });

  it('takes images with the channels first and last', async () => {
    const chain = kerasCase('images through a chain');
    const file = await writeKeras(chain);
    const model = await open('keras', file);
    const [image] = chain.inputs as [NdArray<'float32'>];
    const [rows, height, width, channels] = image.dims as [number, number, number, number];
    const at = (row: number, y: number, x: number, c: number) =>
      ((row * height + y) * width + x) * channels + c;
    const turned = Array.from({ length: rows }, (_, row) =>
      Array.from({ length: channels }, (_, c) =>
        Array.from({ length: height }, (_, y) =>
          Array.from({ length: width }, (_, x) => image.data[at(row, y, x, c)]!),
        ),
      ),
    ).flat(3);
    for (const [sizes, data] of [
      [[height, width, channels], image.data],
      [[channels, height, width], Float32Array.from(turned)],
      [[height * width * channels], image.data],
    ] as const) {
      const draft = adoptModel(model, { keras: file }, arraysOf(sizes, 3), { seed: 1, place });
      const [, probabilities] = await runModel(draft.model, [
        { dtype: 'float32', dims: [rows, ...sizes], data },
      ]);
      expectNear([probabilities!], chain.outputs);
      expect(draft.trainable.some((name) => name.endsWith('/moving_mean'))).toBe(false);
    }
    const other = () =>
      adoptModel(model, { keras: file }, arraysOf([channels, width, height], 3), { seed: 1, place });
    expect(other).toThrow(/is \[N, 6, 5, 3\], and the data has arrays \[3, 5, 6\]/);
  });

  it('is digested with its weights', async () => {
    const dense = kerasCase('dense');
    const [first, same, other] = await Promise.all(
      [dense, dense, { ...dense, artifacts: { ...dense.artifacts, weightData: Buffer.alloc(60) } }].map(
        writeKeras,
      ),
    );
    const digest = async (file: string | undefined) => {
      const { signal } = new AbortController();
      return Object.values(await digestModel(project, { key: 'keras', file: file! }, signal)).at(-1);
    };
    expect(await digest(first)).toBe(await digest(same));
    expect(await digest(first)).not.toBe(await digest(other));
  });

  it('names the file where it is missing', async () => {
    const error = await failure(open('keras', 'none.json'));
    expect(error.message).toBe('there is no model none.json');
  });
});

describe('model.module', () => {
  /** What a tf.LayersModel does when it is saved. */
  const likeTensorFlow = ({ artifacts }: KerasCase) => {
    const { modelTopology, weightSpecs, weightData } = artifacts;
    const parts = JSON.stringify({
      modelTopology,
      weightSpecs,
      weightData: Buffer.from(weightData).toString('base64'),
    });
    return `
      const parts = ${parts};
      const bytes = Uint8Array.from(Buffer.from(parts.weightData, 'base64')).buffer;
      const model = { inputs: [], save: (handler) => handler.save({ ...parts, weightData: bytes }) };`;
  };

  it.each(['export default model;', 'export default () => model;', 'export default async () => model;'])(
    'takes %s',
    async (ending) => {
      const dense = kerasCase('dense');
      const file = await writeModule(`${likeTensorFlow(dense)}\n${ending}`);
      expectNear(await runModel(await open('module', file), dense.inputs), dense.outputs);
    },
  );

  it('draws the same random numbers for the same seed, and others for another', async () => {
    const { modelTopology, weightSpecs } = kerasCase('dense').artifacts;
    const file = await writeModule(`
      export default () => ({ inputs: [], save: (handler) => handler.save({
        modelTopology: ${JSON.stringify(modelTopology)},
        weightSpecs: ${JSON.stringify(weightSpecs)},
        weightData: [Float32Array.from({ length: 15 }, () => Math.random()).buffer],
      }) });`);
    const before = Math.random;
    const kernel = async (seed: number) => {
      const { graph } = await openFile({ ...project, seed }, { key: 'module', file });
      return Buffer.from([...graph.initializers.values()][0]!.data as Uint8Array).toString('hex');
    };
    expect(await kernel(1)).toBe(await kernel(1));
    expect(await kernel(1)).not.toBe(await kernel(2));
    expect(Math.random).toBe(before);
  });

  it.each([
    ['fails', 'throw new Error("out of order");', /the module fails: out of order/],
    ['does not compile', 'export default (', /the module fails/],
    ['exports nothing', 'export const a = 1;', /gives nothing, not a tf.LayersModel/],
    ['gives something else', 'export default () => 3;', /gives a number, not a tf.LayersModel/],
  ])('refuses a module that %s', async (_what, text, message) => {
    const file = await writeModule(text);
    const error = await failure(open('module', file));
    expect(error.message).toMatch(message);
    expect(error.place?.file).toBe(join(root, file));
    expect(error.hint).toBeTruthy();
  });

  it('says what is missing when there is no TensorFlow.js', async () => {
    const file = await writeModule('export default ({ tf }) => tf.sequential();');
    const error = await failure(open('module', file));
    expect(error.code).toBe('MAAS_ENGINE_MISSING');
    expect(error.hint).toMatch(/maas engines install tfjs-node/);
  });
});
