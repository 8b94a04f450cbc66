import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { attr, type Model } from '../../../src/ir/graph.js';
import { loadModel, loadWeights } from '../../../src/ir/onnx/load.js';
import { printModel } from '../../../src/ir/print.js';
import { saveModel } from '../../../src/ir/onnx/save.js';
import { decodeTensors } from '../../../src/ir/safetensors.js';
import { tensor } from '../../../src/ir/tensor.js';
import type { GraphModel } from '../../../src/ir/tfjs/graph-model.js';
import { exportModel, type ExportOrder } from '../../../src/stages/export/index.js';

let root: string;
let folders = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-export-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Writes a model, and exports it. */
async function run(model: Model, changes: Partial<ExportOrder> = {}) {
  const folder = join(root, String(folders++));
  await mkdir(folder);
  const file = join(folder, 'net.onnx');
  await saveModel(model, file);
  const order = {
    model: file,
    name: 'net',
    format: 'tfjs',
    sizes: {},
    force: false,
    version: '1.0.0',
  } as const;
  return exportModel({ ...order, out: join(folder, 'out'), ...changes });
}

const wrap = (g: GraphBuilder): Model => ({
  irVersion: 10,
  opsets: { '': 21, 'ai.onnx.ml': 4 },
  producer: 'test',
  graph: g.build(),
  metadata: {},
});

/** An image, a convolution, and what is left of it as one vector; text in, text out. */
function convolutional(rows: string | number = 'N'): Model {
  const g = new GraphBuilder();
  const image = g.input('image', 'float32', [rows, 2, 4, 4]);
  const kernel = g.initializer('kernel', tensor('float32', [3, 2, 1, 1], Float32Array.of(1, 2, 3, 4, 5, 6)));
  const bias = g.initializer('bias', tensor('float32', [3], Float32Array.of(1, 2, 3)));
  const made = g.op('Relu', [g.op('Conv', [image, kernel, bias], {}, { name: 'conv' })]);
  const pooled = g.op('MaxPool', [made], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) });
  const means = g.op('Flatten', [g.op('GlobalAveragePool', [pooled])]);
  g.output(means, 'means');
  return wrap(g);
}

const topologyOf = async (path: string): Promise<{ modelTopology: { node: GraphModel['nodes'] } }> =>
  JSON.parse(await readFile(join(path, 'model.json'), 'utf8')) as {
    modelTopology: { node: GraphModel['nodes'] };
  };

describe('tfjs', () => {
  it('lays images out once, as TensorFlow has them', async () => {
    const { path, files } = await run(convolutional());
    expect(files).toEqual(['README.md', 'group1-shard1of1.bin', 'model.json', 'signature.json']);
    const { modelTopology } = await topologyOf(path);
    const ops = modelTopology.node.map(({ op }) => op).filter((op) => op !== 'Const');
    expect(ops).toEqual([
      'Placeholder',
      'Transpose',
      'Conv2D',
      'AddV2',
      'Relu',
      'MaxPool',
      'Mean',
      'Transpose',
      'Reshape',
      'Identity',
    ]);
    const signature = JSON.parse(await readFile(join(path, 'signature.json'), 'utf8')) as object;
    expect(signature).toMatchObject({
      inputs: [{ name: 'image', dtype: 'float32', shape: ['N', 2, 4, 4] }],
      outputs: [{ name: 'means', dtype: 'float32', shape: ['N', 3] }],
    });
  });

  it('gives numbers for texts at both ends', async () => {
    const g = new GraphBuilder();
    const colour = g.input('colour', 'string', ['N', 1]);
    const code = g.op(
      'LabelEncoder',
      [colour],
      {
        keys_strings: attr.strings(['red', 'blue']),
        values_int64s: attr.ints([0, 1]),
        default_int64: attr.int(-1),
      },
      { domain: 'ai.onnx.ml' },
    );
    const flipped = g.op('Squeeze', [g.op('Sub', [g.scalar(1, 'int64'), code]), g.int64s([1])]);
    const text = g.op(
      'LabelEncoder',
      [flipped],
      { keys_int64s: attr.ints([0, 1]), values_strings: attr.strings(['no', 'yes']) },
      { domain: 'ai.onnx.ml' },
    );
    g.output(text, 'label');
    const model = wrap(g);
    // The label is the node's own output.
    const graph = {
      ...model.graph,
      nodes: model.graph.nodes.filter(({ op }) => op !== 'Identity'),
      outputs: [{ name: text, dtype: 'string' as const, shape: ['N'] }],
    };
    const { path } = await run({ ...model, graph });
    expect(JSON.parse(await readFile(join(path, 'signature.json'), 'utf8'))).toMatchObject({
      inputs: [{ name: 'colour', dtype: 'int32', categories: { codes: { red: 0, blue: 1 }, other: -1 } }],
      outputs: [{ dtype: 'int32', labels: ['no', 'yes'] }],
    });
  });

  it('names the node that it cannot write down', async () => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', ['N', 4]);
    g.output(g.op('NonZero', [x], {}, { name: 'places' }), 'y');
    await expect(run(wrap(g))).rejects.toMatchObject({
      code: 'MAAS_MODEL_UNSUPPORTED',
      message: 'TensorFlow.js has no operator for NonZero (node places)',
      hint: expect.stringContaining('--format onnx') as string,
    });
  });

  it('refuses what depends on the run, and sizes that are open', async () => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', ['N', 'seq']);
    g.output(g.op('Relu', [x]), 'y');
    await expect(run(wrap(g))).rejects.toMatchObject({
      code: 'MAAS_MODEL_UNSUPPORTED',
      hint: 'Fix the others, as in --dim seq=64.',
    });
    await expect(run(wrap(g), { sizes: { sec: 3 } })).rejects.toMatchObject({
      code: 'MAAS_USAGE',
      message: 'no input of the model has an open size sec',
    });
    const { path } = await run(wrap(g), { sizes: { seq: 3 } });
    const [input] = (await topologyOf(path)).modelTopology.node;
    expect(input!.attr['shape']).toEqual({ shape: { dim: [{ size: '-1' }, { size: '3' }] } });
    const h = new GraphBuilder();
    const sizes = h.input('sizes', 'int64', [2]);
    h.output(h.op('Reshape', [h.input('x', 'float32', ['N', 4]), sizes], {}, { name: 'shaped' }), 'y');
    await expect(run(wrap(h))).rejects.toMatchObject({
      message:
        'TensorFlow.js cannot carry out Reshape (node shaped): it depends on sizes or values that only a run tells',
    });
  });

  it('writes over an earlier export, and leaves what is not of it', async () => {
    const { path } = await run(convolutional());
    await writeFile(join(path, 'page.html'), 'mine');
    await writeFile(join(path, 'group1-shard1of9.bin'), 'old');
    await expect(run(convolutional(), { out: path })).rejects.toMatchObject({
      code: 'MAAS_TARGET_NOT_EMPTY',
    });
    await run(convolutional(3), { out: path, force: true });
    expect((await readdir(path)).sort()).toEqual([
      'README.md',
      'group1-shard1of1.bin',
      'model.json',
      'page.html',
      'signature.json',
    ]);
    expect(await readFile(join(path, 'page.html'), 'utf8')).toBe('mine');
  });
});

describe('other formats', () => {
  it('onnx has everything inside', async () => {
    const model = convolutional();
    const folder = join(root, 'external');
    await mkdir(folder);
    const g = new GraphBuilder(model.graph);
    g.output(
      g.op('Add', [
        g.initializer('large', tensor('float32', [1000], new Float32Array(1000).fill(2))),
        g.scalar(1),
      ]),
      'more',
    );
    const large = { ...model, graph: g.build() };
    await saveModel(large, join(folder, 'large.onnx'), { external: true });
    expect(await readdir(folder)).toContain('large.onnx.data');
    const out = join(folder, 'out', 'large.onnx');
    const made = await exportModel({
      model: join(folder, 'large.onnx'),
      name: 'large',
      format: 'onnx',
      out,
      sizes: {},
      force: false,
      version: '1.0.0',
    });
    expect(made.files).toEqual(['large.onnx']);
    expect(printModel(await loadModel(out))).toBe(
      printModel(await loadWeights(await loadModel(join(folder, 'large.onnx')))),
    );
  });

  it('safetensors has the weights by name', async () => {
    const { path } = await run(convolutional(), { format: 'safetensors' });
    const { tensors } = decodeTensors(await readFile(path))!;
    expect(Object.keys(tensors)).toEqual(['kernel', 'bias']);
    expect(tensors['kernel']).toMatchObject({ dims: [3, 2, 1, 1], data: Float32Array.of(1, 2, 3, 4, 5, 6) });
  });
});
