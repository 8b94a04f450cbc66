import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStore, type Json } from '../../../src/artifacts/index.js';
import type { Reference } from '../../../src/data/drift/reference.js';
import type { Feature, Port, Signature } from '../../../src/data/signature.js';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { attr } from '../../../src/ir/graph.js';
import { loadModel } from '../../../src/ir/onnx/load.js';
import { encodeModel, saveModel } from '../../../src/ir/onnx/save.js';
import { stringTensor, tensor, type NdArray } from '../../../src/ir/tensor.js';
import { openSession } from '../../../src/runtime/session.js';
import { joinRows, takeRows } from '../../../src/runtime/rows.js';

/** A model with its signature and some rows to make golden outputs from. */
export interface Sample {
  readonly model: Uint8Array;
  readonly signature: Signature;
  readonly inputs: Readonly<Record<string, NdArray>>;
}

export const labels = ['tulip', 'rose', 'daisy'];
export const colours = ['red', 'white', 'yellow'];

/**
 * Two numbers and a colour in, one of three flowers out. `bias` makes releases that answer differently.
 * With `mixing`, rows influence one another, as where activations are quantized over a whole batch.
 */
export function flowers(options: { bias?: number; mixing?: boolean } = {}): Sample {
  const graph = new GraphBuilder('flowers');
  graph.input('features', 'float32', ['N', 2]);
  graph.input('colour', 'string', ['N', 1]);
  const known = graph.constant(stringTensor([1, 3], colours));
  const hot = graph.op('Cast', [graph.op('Equal', ['colour', known])], { to: attr.int(1) });
  let columns = graph.op('Concat', ['features', hot], { axis: attr.int(1) });
  if (options.mixing === true) {
    columns = graph.op('Sub', [columns, graph.op('ReduceMean', [columns, graph.int64s([0])])]);
  }
  const weights = Array.from({ length: 15 }, (_, index) => Math.sin(index * 1.7));
  const scores = graph.op('Gemm', [
    columns,
    graph.constant(tensor('float32', [5, 3], weights)),
    graph.constant(tensor('float32', [3], [options.bias ?? 0, 0, 0])),
  ]);
  graph.output(graph.op('Softmax', [scores], { axis: attr.int(1) }), 'probabilities');
  const best = graph.op('ArgMax', [scores], { axis: attr.int(1), keepdims: attr.int(0) });
  graph.output(graph.op('Gather', [graph.constant(stringTensor([3], labels)), best]), 'label');
  return {
    model: encode(graph),
    signature: signature({
      name: 'flowers',
      task: 'classification',
      features: [
        { name: 'height', type: 'number', input: 'features', column: 0 },
        { name: 'width', type: 'number', input: 'features', column: 1 },
        { name: 'colour', type: 'category', input: 'colour', column: 0, categories: colours },
      ],
      inputs: [
        { name: 'features', dtype: 'float32', shape: ['N', 2] },
        { name: 'colour', dtype: 'string', shape: ['N', 1] },
      ],
      outputs: [
        { name: 'label', dtype: 'string', shape: ['N'] },
        { name: 'probabilities', dtype: 'float32', shape: ['N', 3] },
      ],
      labels,
    }),
    inputs: {
      features: { dtype: 'float32', dims: [4, 2], data: Float32Array.of(0.1, 2, 3, -1, 0.5, 0.25, -2, 1) },
      colour: { dtype: 'string', dims: [4, 1], data: ['red', 'white', 'yellow', 'blue'] },
    },
  };
}

/** Every element type that JSON can carry, in and out again. */
export function echo(): Sample {
  const graph = new GraphBuilder('echo');
  const ports: Port[] = [];
  const inputs: Record<string, NdArray> = {};
  const add = (array: NdArray): void => {
    const { dtype } = array;
    graph.input(dtype, dtype, ['N', 2]);
    graph.output(dtype, `${dtype}_out`);
    ports.push({ name: dtype, dtype, shape: ['N', 2] });
    inputs[dtype] = array;
  };
  const dims = [1, 2];
  add({ dtype: 'int64', dims, data: BigInt64Array.of(1n, -2n) });
  add({ dtype: 'uint64', dims, data: BigUint64Array.of(1n, 2n) });
  add({ dtype: 'int32', dims, data: Int32Array.of(1, -2) });
  add({ dtype: 'uint8', dims, data: Uint8Array.of(1, 2) });
  add({ dtype: 'bool', dims, data: Uint8Array.of(1, 0) });
  add({ dtype: 'float64', dims, data: Float64Array.of(0.1, -2) });
  add({ dtype: 'float32', dims, data: Float32Array.of(0.5, -2) });
  add({ dtype: 'string', dims, data: ['a', 'ß'] });
  return {
    model: encode(graph),
    signature: signature({
      name: 'echo',
      task: 'regression',
      features: [{ name: 'x', type: 'number', input: 'float32', column: 0 }],
      inputs: ports,
      outputs: ports.map((port) => ({ ...port, name: `${port.name}_out` })),
    }),
    inputs,
  };
}

/** A number (10, 20, 30, …) looked up in a table; an index outside of it fails the whole run. */
export function lookup(size = 4): Sample {
  const graph = new GraphBuilder('lookup');
  graph.input('index', 'int64', ['N']);
  const table = graph.constant(
    tensor(
      'float32',
      [size],
      Array.from({ length: size }, (_, index) => 10 * (index + 1)),
    ),
  );
  graph.output(graph.op('Gather', [table, 'index']), 'prediction');
  return {
    model: encode(graph),
    signature: signature({
      name: 'lookup',
      task: 'regression',
      features: [{ name: 'index', type: 'number', input: 'index', column: 0 }],
      inputs: [{ name: 'index', dtype: 'int64', shape: ['N'] }],
      outputs: [{ name: 'prediction', dtype: 'float32', shape: ['N'] }],
    }),
    inputs: { index: { dtype: 'int64', dims: [2], data: BigInt64Array.of(0n, 3n) } },
  };
}

/** What comes after a character, by that one alone. */
export function bigrams(): Sample {
  const characters = ['a', 'b', 'c', '🐈'];
  const graph = new GraphBuilder('bigrams');
  graph.input('text', 'string', ['N', 1]);
  const known = graph.constant(stringTensor([1, 4], characters));
  const hot = graph.op('Cast', [graph.op('Equal', ['text', known])], { to: attr.int(1) });
  const after = [0, 0.6, 0.3, 0.1, 0.8, 0, 0.1, 0.1, 0.5, 0.3, 0, 0.2, 1, 0, 0, 0];
  graph.output(graph.op('MatMul', [hot, graph.constant(tensor('float32', [4, 4], after))]), 'probabilities');
  const best = graph.op('ArgMax', ['probabilities'], { axis: attr.int(1), keepdims: attr.int(0) });
  graph.output(graph.op('Gather', [graph.constant(stringTensor([4], characters)), best]), 'label');
  return {
    model: encode(graph),
    signature: {
      ...signature({
        name: 'bigrams',
        task: 'classification',
        features: [{ name: 'text', type: 'text', input: 'text', column: 0 }],
        inputs: [{ name: 'text', dtype: 'string', shape: ['N', 1] }],
        outputs: [
          { name: 'label', dtype: 'string', shape: ['N'] },
          { name: 'probabilities', dtype: 'float32', shape: ['N', 4] },
        ],
        labels: characters,
      }),
      generates: { feature: 'text', context: 1 },
    },
    inputs: { text: { dtype: 'string', dims: [2, 1], data: ['a', 'c'] } },
  };
}

function encode(graph: GraphBuilder): Uint8Array {
  return encodeModel({
    irVersion: 10,
    opsets: { '': 21 },
    producer: 'test',
    graph: graph.build(),
    metadata: {},
  });
}

function signature(parts: {
  name: string;
  task: Signature['task'];
  features: Feature[];
  inputs: Port[];
  outputs: Port[];
  labels?: readonly string[];
}): Signature {
  const { labels: names, ...rest } = parts;
  return {
    schemaVersion: 1,
    ...rest,
    target: { name: 'target', ...(names && { labels: names }) },
    data: { digest: '0'.repeat(64) },
  };
}

/** A folder for one test's releases, with the link that a deploy switches. */
export interface Shelf {
  readonly root: string;
  readonly link: string;
  /** Commits a release and returns its folder; its name is the digest. Golden outputs may come from another model. */
  add(
    sample: Sample,
    options?: {
      goldenFrom?: Sample;
      external?: boolean;
      reference?: Reference;
      metrics?: Record<string, Json>;
    },
  ): Promise<string>;
  /** Switches the link by rename, as a deploy does. */
  point(folder: string): Promise<void>;
  remove(): Promise<void>;
}

export async function makeShelf(): Promise<Shelf> {
  const root = await mkdtemp(join(tmpdir(), 'maas-serve-'));
  const store = openStore(join(root, '.maas'));
  const link = join(root, 'current');
  let links = 0;
  return {
    root,
    link,
    async add(
      { model, signature: described, inputs },
      { goldenFrom, external, reference, metrics = {} } = {},
    ) {
      const draft = await store.stage('deploy');
      const file = join(draft.path, 'model.onnx');
      await writeFile(file, model);
      if (external === true) await saveModel(await loadModel(file), file, { external });
      await writeFile(join(draft.path, 'signature.json'), JSON.stringify(described));
      await writeFile(
        join(draft.path, 'golden.json'),
        JSON.stringify(await goldenOf(goldenFrom?.model ?? model, inputs)),
      );
      if (reference) await writeFile(join(draft.path, 'reference.json'), JSON.stringify(reference));
      const facts = { stage: 'deploy', kind: 'release', name: 'garden', seed: 1, inputs: {} };
      const artifact = await draft.commit({
        ...facts,
        options: '0'.repeat(64),
        key: {},
        toolchain: {},
        metrics,
      });
      return artifact.path;
    },
    async point(folder) {
      const draft = join(root, `link-${links++}`);
      await symlink(folder, draft);
      await rename(draft, link);
    },
    remove: () => rm(root, { recursive: true, force: true }),
  };
}

/** Outputs of each row alone, as deploy writes them. */
async function goldenOf(model: Uint8Array, inputs: Sample['inputs']): Promise<unknown> {
  const session = await openSession(model);
  try {
    const answers: Record<string, NdArray>[] = [];
    const rows = Object.values(inputs)[0]!.dims[0]!;
    for (let row = 0; row < rows; row++) answers.push(await session.run(rowOf(inputs, row)));
    return { rows: [], inputs: plain(inputs), outputs: plain(joinRows(answers)), tolerance: 1e-4 };
  } finally {
    await session.close();
  }
}

export function rowOf(arrays: Sample['inputs'], row: number): Record<string, NdArray> {
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, takeRows(array, row, 1)]));
}

function plain(arrays: Readonly<Record<string, NdArray>>): unknown {
  return Object.fromEntries(
    Object.entries(arrays).map(([name, { dtype, dims, data }]) => [
      name,
      {
        dtype,
        dims,
        data: Array.from(data as ArrayLike<unknown>, (value) =>
          typeof value === 'bigint' ? Number(value) : value,
        ),
      },
    ]),
  );
}
