import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Listr } from 'listr2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStore } from '../../../src/artifacts/index.js';
import { dataSchema, readSignature, type DataConfig } from '../../../src/data/index.js';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { loadModel } from '../../../src/ir/onnx/load.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import { numbersOf, tensor } from '../../../src/ir/tensor.js';
import { openSession } from '../../../src/runtime/session.js';
import { defineEngine, type Engine, type StageRun } from '../../../src/plugin/api.js';
import type { ProgressEvent } from '../../../src/plugin/events.js';
import { createRegistry } from '../../../src/plugin/registry.js';
import { kerasCase } from '../../ir/keras/fixtures.js';
import { onnxEngine, trainStage, type TrainOptions } from '../../../src/stages/train/index.js';

const iris = new URL('../../../templates/tabular-classifier/data/', import.meta.url).pathname;
const models = new URL('../../fixtures/onnx/', import.meta.url).pathname;
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-train-'));
});
afterAll(() => rm(root, { recursive: true }));

const idle: Engine = defineEngine({
  name: 'idle',
  summary: 'gives the model back as it is',
  train: ({ model }) => Promise.resolve({ model, history: [], notes: ['did nothing'] }),
});
const absent: Engine = defineEngine({
  name: 'absent',
  summary: 'is not there',
  unavailable: () => Promise.resolve({ reason: 'no library', hint: 'Install the library.' }),
  train: () => Promise.reject(new Error('not to be called')),
});
const registry = createRegistry([
  { plugin: 'maas-cli', registration: { apiVersion: 1, engines: [onnxEngine, idle, absent] } },
]);

interface Setup {
  readonly data?: Record<string, unknown>;
  readonly train?: Record<string, unknown>;
  readonly folder?: string;
  readonly seed?: number;
}

let count = 0;
/** Runs the stage's tasks as the runner would. */
async function train({ data = {}, train: section = {}, folder = iris, seed = 5 }: Setup = {}) {
  const out = join(root, `out-${count++}`);
  const work = `${out}.work`;
  await Promise.all([out, work].map((path) => mkdir(path)));
  const config: Record<string, unknown> = {
    data: dataSchema.parse({ source: 'iris.csv', target: 'species', ...data }),
    train: trainStage.options(registry).parse({
      model: { layers: [{ dense: { units: 32, activation: 'tanh' } }, 'dense'] },
      optimizer: { adam: { learningRate: 0.01 } },
      epochs: 40,
      ...section,
    }),
  };
  const events: ProgressEvent[] = [];
  const run: StageRun<TrainOptions> = {
    project: { name: 'flowers', seed, root: folder, configFile: join(folder, 'maas.config.yaml'), config },
    options: config['train'] as TrainOptions,
    registry,
    store: openStore(join(root, '.maas')),
    inputs: {},
    signal: new AbortController().signal,
    emit: (event) => events.push(event),
    out,
    work,
    result: { metrics: {}, measured: {}, notes: [] },
  };
  const titles: string[] = [];
  const tasks = trainStage.tasks(run);
  await new Listr(
    tasks.map((task) => ({
      ...task,
      task: async (context: unknown, wrapper: Parameters<typeof task.task>[1]) => {
        await task.task(context, wrapper);
        titles.push(wrapper.title);
      },
    })),
    { renderer: 'silent' },
  ).run();
  return { run, out, events, titles, metrics: run.result.metrics };
}

const files = async (folder: string): Promise<Record<string, Buffer>> =>
  Object.fromEntries(
    await Promise.all(
      (await readdir(folder)).map(async (name) => [name, await readFile(join(folder, name))] as const),
    ),
  );

describe('the train stage', () => {
  it('fits iris, writes the model and says how good it is', async () => {
    const { out, events, titles, metrics } = await train();
    expect(Object.keys(await files(out)).sort()).toEqual([
      'history.json',
      'model.onnx',
      'schema.json',
      'signature.json',
    ]);
    expect(metrics['accuracy']).toBeGreaterThan(0.85);
    expect(metrics).toMatchObject({
      validation: { accuracy: expect.any(Number) as number, logLoss: expect.any(Number) as number },
      rows: { train: 102, validation: 24, test: 24 },
    });
    expect(titles[0]).toMatch(/^load data: \d+ rows to train on, \d+ to validate, \d+ to test$/);
    expect(titles[1]).toBe('build model: 259 weights');
    expect(titles[2]).toMatch(/^train: 40 epochs, loss 0\.\d+$/);
    expect(titles[4]).toMatch(/^evaluate: accuracy [01]\.\d{4} on the test split$/);
    expect(events.at(-1)).toMatchObject({ event: 'train-progress', epoch: 40, epochs: 40 });

    const signature = await readSignature(join(out, 'signature.json'));
    expect(signature).toMatchObject({ name: 'flowers', task: 'classification' });
    expect(await trainStage.key!({ ...(await train({ train: { engine: 'idle' } })).run })).toEqual({
      data: signature.data.digest,
    });
    const history = JSON.parse(await readFile(join(out, 'history.json'), 'utf8')) as {
      epochs: { loss: number }[];
    };
    expect(history.epochs).toHaveLength(40);
    expect(history.epochs[39]!.loss).toBeLessThan(history.epochs[0]!.loss / 2);

    const session = await openSession(join(out, 'model.onnx'));
    const { label } = await session.run({
      features: {
        dtype: 'float32',
        dims: [2, 4],
        data: Float32Array.of(5.1, 3.5, 1.4, 0.2, 6.7, 3, 5.2, 2.3),
      },
    });
    await session.close();
    expect(label!.data).toEqual(['setosa', 'virginica']);
  });

  it('gives the same bytes for the same seed, and others for another', async () => {
    const short = { train: { epochs: 3 } };
    const [first, second, other] = [
      await train(short),
      await train(short),
      await train({ ...short, seed: 6 }),
    ];
    expect(await files(second.out)).toEqual(await files(first.out));
    expect((await files(other.out))['model.onnx']).not.toEqual((await files(first.out))['model.onnx']);
    expect(second.metrics).toEqual(first.metrics);
  });

  it('learns from text columns', async () => {
    const rows = Array.from({ length: 120 }, (_, index) => {
      const [shape, colour] = [['round', 'long'][index % 2]!, ['red', 'green', 'yellow'][index % 3]!];
      return `${index % 17},${shape},${colour},${shape === 'long' ? 'banana' : colour === 'red' ? 'cherry' : 'apple'}`;
    });
    await writeFile(join(root, 'fruit.csv'), `size,shape,colour,fruit\n${rows.join('\n')}\n`);
    const { metrics } = await train({ folder: root, data: { source: 'fruit.csv', target: 'fruit' } });
    expect(metrics['accuracy']).toBe(1);
  });

  it('learns amounts', async () => {
    const rows = Array.from({ length: 200 }, (_, index) => {
      const [a, b] = [Math.sin(index * 12.9), Math.cos(index * 78.2)];
      return `${a},${b},${3 * a - 2 * b + 1}`;
    });
    await writeFile(join(root, 'plane.csv'), `a,b,y\n${rows.join('\n')}\n`);
    const { metrics, titles } = await train({
      folder: root,
      data: { source: 'plane.csv', target: 'y' },
      train: { epochs: 60, model: { layers: ['dense'] }, optimizer: { sgd: { learningRate: 0.1 } } },
    });
    expect(metrics['r2']).toBeGreaterThan(0.999);
    expect(titles[4]).toMatch(/^evaluate: R² (1\.0000|0\.999\d) on the test split$/);
  });

  it('fails a model that is below the gates, with the exit code of gates', async () => {
    const hopeless = train({ train: { engine: 'idle', gates: { accuracy: { min: 0.99 } } } });
    await expect(hopeless).rejects.toMatchObject({ code: 'MAAS_GATE_FAILED', exitCode: 3 });
  });

  it('passes on what the engine has to say', async () => {
    const { run } = await train({ train: { engine: 'idle' } });
    expect(run.result.notes).toEqual(['did nothing']);
  });

  it('says what an engine lacks before it reads any data', async () => {
    await expect(
      train({ train: { engine: 'absent' }, data: { source: 'nowhere.csv' } }),
    ).rejects.toMatchObject({
      code: 'MAAS_ENGINE_MISSING',
      message: 'the absent engine cannot run: no library',
      hint: 'Install the library.',
    });
  });

  it('refuses a loss for another kind of target', async () => {
    await expect(train({ train: { loss: 'meanSquaredError' } })).rejects.toMatchObject({
      code: 'MAAS_CONFIG_INVALID',
      hint: 'Choose sparseCategoricalCrossentropy, or leave train.loss out.',
    });
  });

  it('has a key that follows the data', async () => {
    const { run } = await train({ train: { engine: 'idle' } });
    const data = run.project.config['data'] as DataConfig;
    const project = {
      ...run.project,
      config: { ...run.project.config, data: { ...data, exclude: ['sepal_width'] } },
    };
    expect(await trainStage.key!({ ...run, project })).not.toEqual(await trainStage.key!(run));
  });

  it('trains a file further: what is frozen stays, what is not learns', async () => {
    const onnx = relative(iris, models) + '/mlp-torchscript.onnx';
    const { out, run, metrics, titles } = await train({
      train: { epochs: 30, model: { onnx, preprocess: true, freeze: ['stem.*', 'norm.*'] } },
    });
    expect(metrics['accuracy']).toBeGreaterThan(0.85);
    expect(titles[1]).toBe(`build model: ${2 * (16 * 16 + 16) + 16 * 3 + 3} weights`);
    expect(run.result.notes.slice(0, 2)).toEqual([
      `trains 6 of 10 weights of ${onnx}; frozen: stem.weight, stem.bias, norm.weight, norm.bias`,
      'gave it a new head, with 3 outputs, on /Reshape_1_output_0',
    ]);
    const before = (await loadModel(join(models, 'mlp-torchscript.onnx'))).graph.initializers;
    const after = (await loadModel(join(out, 'model.onnx'))).graph.initializers;
    const same = (name: string): boolean =>
      numbersOf(before.get(name)!).every((value, index) => value === numbersOf(after.get(name)!)[index]);
    expect(['stem.weight', 'stem.bias', 'norm.weight', 'norm.bias'].map(same)).toEqual(Array(4).fill(true));
    expect(['block.0.weight', 'block.3.bias'].map(same)).toEqual([false, false]);
  });

  it('has a key that follows the model file', async () => {
    await copyFile(join(models, 'mlp-torch.onnx'), join(root, 'model.onnx'));
    await copyFile(join(iris, 'iris.csv'), join(root, 'iris.csv'));
    const setup = { folder: root, train: { engine: 'idle', model: { onnx: 'model.onnx' } } };
    const { run } = await train(setup);
    const first = await trainStage.key!(run);
    expect(await trainStage.key!(run)).toEqual(first);
    await copyFile(join(models, 'mlp-torchscript.onnx'), join(root, 'model.onnx'));
    const second = await trainStage.key!(run);
    expect(second).not.toEqual(first);
    expect({ ...second, model: undefined }).toEqual({ ...first, model: undefined });
    await rm(join(root, 'model.onnx'));
    await expect(trainStage.key!(run)).rejects.toMatchObject({ code: 'MAAS_MODEL_INVALID' });
  });

  it('says which engine auto has chosen, and why', async () => {
    const { run } = await train({ train: { engine: 'auto', epochs: 1 } });
    // The registry of these tests has no tfjs-node.
    expect(run.result.measured['engine']).toEqual({ name: 'onnx', reason: 'it is installed' });
    expect(run.result.notes).toContain('auto chose the onnx engine: it is installed');
    expect(await trainStage.key!(run)).toMatchObject({ chosen: 'onnx' });
  });

  it('takes a Keras model, as it is or to train it further', async () => {
    const { artifacts } = kerasCase('dense');
    const { modelTopology, weightSpecs, weightData } = artifacts;
    const weightsManifest = [{ paths: ['weights.bin'], weights: weightSpecs }];
    await writeFile(join(root, 'model.json'), JSON.stringify({ modelTopology, weightsManifest }));
    await writeFile(join(root, 'weights.bin'), weightData);
    await copyFile(join(iris, 'iris.csv'), join(root, 'iris.csv'));
    const model = { keras: 'model.json' };
    const asItIs = await train({ folder: root, train: { model, epochs: 0 } });
    expect(asItIs.run.result.notes).toContain('the model is not trained: epochs is 0');
    const { graph } = await loadModel(join(asItIs.out, 'model.onnx'));
    const [kernel] = [...graph.initializers].filter(([name]) => name.endsWith('/kernel'));
    const first = new Float32Array(Uint8Array.from(weightData).buffer).slice(0, 12);
    expect(numbersOf(kernel![1])).toEqual([...first]);
    expect(JSON.parse(await readFile(join(asItIs.out, 'history.json'), 'utf8'))).toMatchObject({
      epochs: [],
    });

    const trained = await train({
      folder: root,
      train: { model: { ...model, preprocess: true }, optimizer: { adam: { learningRate: 0.05 } } },
    });
    const { accuracy } = trained.run.result.metrics as { accuracy: number };
    expect(accuracy).toBeGreaterThan((asItIs.run.result.metrics as { accuracy: number }).accuracy);
    expect(accuracy).toBeGreaterThan(0.8);
  });

  it('says what to freeze when there is no way back through a node', async () => {
    const g = new GraphBuilder();
    g.input('x', 'float32', ['N', 4]);
    g.initializer('first', tensor('float32', [4, 2], new Float32Array(8).fill(0.5)));
    const twisted = g.op('Twist', [g.op('MatMul', ['x', 'first'])], {}, { domain: 'example', name: 'knot' });
    g.initializer('last', tensor('float32', [2, 3], new Float32Array(6).fill(0.5)));
    g.output(g.op('MatMul', [twisted, 'last']));
    const stated = { name: twisted, dtype: 'float32' as const, shape: ['N', 2] };
    const graph = { ...g.build(), values: new Map([[twisted, stated]]) };
    const model = { irVersion: 8, opsets: { '': 17, example: 1 }, producer: '', metadata: {}, graph };
    await writeFile(join(root, 'knot.onnx'), encodeModel(model));
    await copyFile(join(iris, 'iris.csv'), join(root, 'iris.csv'));
    await expect(
      train({ folder: root, train: { model: { onnx: 'knot.onnx', head: 'keep' } } }),
    ).rejects.toMatchObject({
      code: 'MAAS_MODEL_UNSUPPORTED',
      message: 'cannot train through example:Twist (node knot): it has no gradient rule',
      hint: 'Freeze the weights before it: train.model.freeze: ["first"]',
    });
  });

  it.each([
    ['adam', { learningRate: 0.01 }],
    ['sgd', { learningRate: 0.05, momentum: 0.9 }],
  ])('learns amounts alike in whatever unit they are, by %s', async (name, options) => {
    const found: number[] = [];
    for (const [at, [unit, zero]] of [
      [1, 0],
      [1000, 500_000],
    ].entries()) {
      const folder = join(root, `unit-${name}-${at}`);
      await mkdir(folder);
      const lines = Array.from({ length: 120 }, (_, row) => {
        const [x, y] = [Math.sin(row), Math.cos(3 * row)];
        return `${x.toFixed(5)},${y.toFixed(5)},${(zero! + unit! * (x - 2 * y + x * y)).toFixed(5)}`;
      });
      await writeFile(join(folder, 'rows.csv'), ['x,y,amount', ...lines].join('\n'));
      const data = {
        source: 'rows.csv',
        target: 'amount',
        split: { train: 0.6, validation: 0.2, test: 0.2, by: 'hash' },
      };
      const { run } = await train({ folder, data, train: { epochs: 40, optimizer: { [name]: options } } });
      found.push((run.result.metrics as { r2: number }).r2);
    }
    // Other digits are other rows: the split, which goes by them, differs.
    expect(found[0]).toBeGreaterThan(0.8);
    expect(found[1]).toBeGreaterThan(0.8);
  });

  describe('a reconstruction', () => {
    let folder: string;
    const data = {
      ...{ source: 'rows.csv', target: 'strangeness', task: 'reconstruction' },
      split: { train: 0.6, validation: 0.2, test: 0.2, by: 'hash' },
    };
    beforeAll(async () => {
      folder = join(root, 'reconstruction');
      await mkdir(folder);
      // Six numbers and a text, all of them told by one angle.
      const lines = Array.from({ length: 160 }, (_, row) => {
        const angle = 0.37 * row;
        const numbers = [1, 2, 3, 4, 5, 6].map((each) => (each * Math.sin(angle + each)).toFixed(4));
        return [...numbers, Math.sin(angle) > 0 ? 'up' : 'down'].join(',');
      });
      await writeFile(join(folder, 'rows.csv'), ['a,b,c,d,e,f,way', ...lines].join('\n'));
    });

    it('predicts how badly a row comes back', async () => {
      const model = { preset: { autoencoder: { units: [16, 3], activation: 'tanh' } } };
      const { run } = await train({ folder, data, train: { model, epochs: 100 } });
      const { mae, r2 } = run.result.metrics as Record<string, number>;
      // Of what does not come back at all it is 6 for six scaled numbers, over eight.
      expect(mae).toBeLessThan(0.3);
      expect(r2).toBeUndefined();
      const signature = await readSignature(join(run.out, 'signature.json'));
      expect(signature).toMatchObject({
        task: 'regression',
        reconstructs: true,
        target: { name: 'strangeness' },
      });
      const session = await openSession(join(run.out, 'model.onnx'));
      const rows = [
        [1, 2, 3, 4, 5, 6].map((each) => each * Math.sin(0.5 + each)),
        [1, 2, 3, 4, 5, 6].map((each) => each * Math.sin(0.5 + each) * (each % 2 ? 1 : -1)),
      ];
      const { prediction } = await session.run({
        features: { dtype: 'float32', dims: [2, 6], data: Float32Array.from(rows.flat()) },
        way: { dtype: 'string', dims: [2, 1], data: ['up', 'up'] },
      });
      await session.close();
      const [usual, strange] = prediction!.data as Float32Array;
      expect(strange).toBeGreaterThan(5 * usual!);
    });

    it.each<[string, Setup, object]>([
      ['a loss', { train: { loss: 'mse' } }, { code: 'MAAS_CONFIG_INVALID', hint: 'Leave train.loss out.' }],
      [
        'a figure of a target',
        { train: { gates: { r2: { min: 0 } } } },
        { code: 'MAAS_CONFIG_INVALID', hint: 'The figures are: mse, rmse, mae, medianAbsoluteError.' },
      ],
      [
        'the name of a column',
        { data: { ...data, target: 'c' } },
        { code: 'MAAS_DATA_COLUMN', message: expect.stringContaining('there is a column "c"') as string },
      ],
      [
        'another number of outputs',
        { train: { model: { layers: [{ dense: { units: 3 } }, { dense: { units: 2 } }] } } },
        { code: 'MAAS_MODEL_SHAPE', hint: 'Write units: 8, or leave units out.' },
      ],
      [
        'a source that is larger than memory',
        { data: { ...data, memory: 0 } },
        { code: 'MAAS_DATA_COLUMN', hint: expect.stringContaining('Raise data.memory') as string },
      ],
      [
        'columns that are learned',
        { data: { ...data, transforms: { categories: 'embedding' } } },
        { code: 'MAAS_MODEL_SHAPE', hint: 'Choose oneHot or hashing in place of embedding.' },
      ],
    ])('refuses %s', async (_, setup, error) => {
      await expect(train({ folder, data, ...setup })).rejects.toMatchObject(error);
    });
  });

  it('refuses to spare weights from decay that the model does not have', async () => {
    const optimizer = { adamw: { excludeFromWeightDecay: ['*/bias', 'dense_1/kernal'] } };
    await expect(train({ train: { epochs: 1, optimizer } })).rejects.toMatchObject({
      code: 'MAAS_CONFIG_INVALID',
      message: 'no weight of the model is called dense_1/kernal',
      hint: 'Did you mean "dense_1/kernel"?',
    });
  });

  it('trains a preset like the layers that it stands for', async () => {
    const preset = { preset: { mlp: { units: [8], activation: 'tanh', dropout: 0.1 } } };
    const layers = [{ dense: { units: 8, activation: 'tanh' } }, { dropout: { rate: 0.1 } }, 'dense'];
    const [named, written] = [
      await train({ train: { epochs: 2, model: preset } }),
      await train({ train: { epochs: 2, model: { layers } } }),
    ];
    expect(await files(named.out)).toEqual(await files(written.out));
  });
});
