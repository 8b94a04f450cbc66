import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSignature, type DataConfig } from '../../../src/data/index.js';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { loadModel } from '../../../src/ir/onnx/load.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import { numbersOf, tensor } from '../../../src/ir/tensor.js';
import { openSession } from '../../../src/runtime/session.js';
import { kerasCase } from '../../ir/keras/fixtures.js';
import { trainStage } from '../../../src/stages/train/index.js';
import { iris, trainIn, type Setup } from './train-in.js';

const models = new URL('../../fixtures/onnx/', import.meta.url).pathname;
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-train-'));
});
afterAll(() => rm(root, { recursive: true }));

const train = (setup?: Setup) => trainIn(root, setup);

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
