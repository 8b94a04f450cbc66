// One side of `npm run bench:train`: trains with maas's onnx engine, or profiles it, once for each line on stdin.
// node subject.js FOLDER THREADS [CACHE]; FOLDER holds what run.js has written. With maas' own folder of this user, where
// engines are installed, it trains with the tfjs-node engine.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { onnxEngine, tfjsNodeEngine } from '../../../dist/internals/benches.js';
import { buildNetwork } from './network.js';
import { profileStep } from './profile.js';

const [folder, threads, cache] = process.argv.slice(2);
const engine = cache === undefined ? onnxEngine : tfjsNodeEngine;
const spec = JSON.parse(readFileSync(join(folder, 'spec.json'), 'utf8'));

function floats(name) {
  const bytes = readFileSync(join(folder, name));
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

const integers = (name) => BigInt64Array.from(readFileSync(join(folder, name)), BigInt);
const x = spec.vocabulary ? integers('x.bin') : floats('x.bin');
const y = integers('y.bin');
const firstRows = (data, dtype, dims, rows) => ({
  dtype,
  dims: [rows, ...dims],
  data: data.subarray(0, (data.length / spec.rows) * rows),
});
const table = (rows) => ({
  rows,
  lines: new Uint32Array(rows),
  inputs: { x: firstRows(x, spec.vocabulary ? 'int64' : 'float32', spec.input, rows) },
  target: firstRows(y, 'int64', spec.vocabulary ? spec.input : [], rows),
});
const dataset = {
  digest: 'bench',
  statistics: {},
  splits: { train: table(spec.rows), validation: table(spec.batch), test: table(spec.batch) },
  signature: { task: 'classification' },
};

const job = () => ({
  ...buildNetwork(spec, floats('weights.bin')),
  dataset,
  loss: { name: 'sparseCategoricalCrossentropy' },
  optimizer: { name: 'adam', learningRate: 0.001 },
  metrics: [],
  epochs: spec.epochs,
  batchSize: spec.batch,
  seed: spec.seed,
  threads: Number(threads),
  options: { checkpointSeconds: 3600 },
  ...(cache !== undefined && { places: { root: process.cwd(), cache } }),
  signal: { aborted: false },
  onProgress: () => undefined,
});

async function train() {
  const work = mkdtempSync(join(folder, 'work-'));
  const cpu = process.cpuUsage();
  const start = performance.now();
  const { history } = await engine.train({ ...job(), work });
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  rmSync(work, { recursive: true, force: true });
  return { seconds, cpuSeconds: (user + system) / 1e6, loss: history.at(-1).loss };
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'end') break;
  if (line === 'profile') {
    process.stdout.write(`${JSON.stringify(await profileStep(job()))}\n`);
    continue;
  }
  const found = await train();
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  process.stdout.write(`${JSON.stringify({ ...found, peakBytes })}\n`);
}
