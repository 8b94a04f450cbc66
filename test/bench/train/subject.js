// One side of `npm run bench:train`: trains with maas's onnx engine, once for each line on stdin.
// node subject.js FOLDER THREADS; FOLDER holds what run.js has written.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { GraphBuilder } from '../../../dist/ir/builder.js';
import { attr } from '../../../dist/ir/graph.js';
import { tensor } from '../../../dist/ir/tensor.js';
import { onnxEngine } from '../../../dist/stages/train/engines/onnx/index.js';
import { shapesOf } from './models.js';

const [folder, threads] = process.argv.slice(2);
const spec = JSON.parse(readFileSync(join(folder, 'spec.json'), 'utf8'));

function floats(name) {
  const bytes = readFileSync(join(folder, name));
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

function network() {
  const g = new GraphBuilder();
  const trainable = [];
  const shapes = shapesOf(spec);
  const values = floats('weights.bin');
  let offset = 0;
  const weight = () => {
    const dims = shapes[trainable.length];
    const size = dims.reduce((product, dim) => product * dim, 1);
    const name = `w${trainable.length}`;
    trainable.push(g.initializer(name, tensor('float32', dims, values.slice(offset, offset + size))));
    offset += size;
    return name;
  };
  const emit = {
    dense: (x) => g.op('Gemm', [x, weight(), weight()]),
    conv: (x) => g.op('Conv', [x, weight(), weight()], { pads: attr.ints([1, 1, 1, 1]) }),
    pool: (x) => g.op('MaxPool', [x], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) }),
    relu: (x) => g.op('Relu', [x]),
    flatten: (x) => g.op('Flatten', [x]),
  };
  let x = g.input('x', 'float32', ['N', ...spec.input]);
  for (const [kind] of spec.layers) x = emit[kind](x);
  const prediction = g.op('Softmax', [x], {}, { name: 'probabilities' });
  g.output(prediction);
  const model = { irVersion: 10, opsets: { '': 21 }, producer: 'bench', graph: g.build(), metadata: {} };
  return { model, trainable, prediction };
}

const x = floats('x.bin');
const y = BigInt64Array.from(readFileSync(join(folder, 'y.bin')), BigInt);
const width = x.length / spec.rows;
const table = (rows) => ({
  rows,
  lines: new Uint32Array(rows),
  inputs: { x: { dtype: 'float32', dims: [rows, ...spec.input], data: x.subarray(0, rows * width) } },
  target: { dtype: 'int64', dims: [rows], data: y.subarray(0, rows) },
});
const dataset = {
  digest: 'bench',
  statistics: {},
  splits: { train: table(spec.rows), validation: table(spec.batch), test: table(spec.batch) },
  signature: { task: 'classification' },
};

async function train() {
  const work = mkdtempSync(join(folder, 'work-'));
  const cpu = process.cpuUsage();
  const start = performance.now();
  const { history } = await onnxEngine.train({
    ...network(),
    dataset,
    loss: { name: 'sparseCategoricalCrossentropy' },
    optimizer: { name: 'adam', learningRate: 0.001 },
    epochs: spec.epochs,
    batchSize: spec.batch,
    seed: spec.seed,
    threads: Number(threads),
    options: { checkpointSeconds: 3600 },
    work,
    signal: { aborted: false },
    onProgress: () => undefined,
  });
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  rmSync(work, { recursive: true, force: true });
  return { seconds, cpuSeconds: (user + system) / 1e6, loss: history.at(-1).loss };
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'end') break;
  const found = await train();
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  process.stdout.write(`${JSON.stringify({ ...found, peakBytes })}\n`);
}
