// One rank of maas in `npm run bench:scaling`: trains a network of dense layers, and tells where the time went.
// node rank.js SPEC, a JSON object {widths, batch, steps, skipped}; started by mpirun.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { encodeModel, joinRanks, loadMpi, onnxEngine, openSession } from '../../../dist/internals/benches.js';
import { buildNetwork } from '../train/network.js';
import { weightsOf } from '../train/models.js';
import { median } from './median.js';

const spec = JSON.parse(process.argv[2]);
const ranks = joinRanks(await loadMpi('openmpi'));
const { widths, batch, steps, skipped } = spec;
const layers = widths.slice(1).flatMap((width, at) => [...(at > 0 ? [['relu']] : []), ['dense', width]]);
const network = { input: [widths[0]], layers, classes: widths.at(-1) };
const size = (dims) => dims.reduce((product, dim) => product * dim, 1);
const weights = Float32Array.from(
  { length: weightsOf(network).reduce((sum, { dims }) => sum + size(dims), 0) },
  (_, at) => (((at * 2654435761) >>> 8) % 1000) / 50_000 - 0.01,
);
const rows = batch * steps;
const table = (count) => ({
  rows: count,
  lines: new Uint32Array(count),
  inputs: {
    x: {
      dtype: 'float32',
      dims: [count, widths[0]],
      data: Float32Array.from({ length: count * widths[0] }, (_, at) => Math.sin(at)),
    },
  },
  target: {
    dtype: 'int64',
    dims: [count],
    data: BigInt64Array.from({ length: count }, (_, at) => BigInt(at % widths.at(-1))),
  },
});

/** Milliseconds of each step: [whole, wait, communicate]. */
const times = [];
/** A step begins with the small sum that all meet at; what follows until the next is large. */
const head = { began: 0, wait: 0, communicate: 0 };
const timed = {
  ...ranks,
  async sum(values) {
    const began = performance.now();
    await ranks.sum(values);
    const ended = performance.now();
    if (values.length >= 2 ** 16) {
      head.communicate += ended - began;
      return;
    }
    if (head.began > 0) times.push([began - head.began, head.wait, head.communicate]);
    Object.assign(head, { began, wait: ended - began, communicate: 0 });
  },
};
const work = mkdtempSync(join(tmpdir(), 'maas-bench-scaling-'));
await onnxEngine.train({
  ...buildNetwork(network, weights),
  dataset: {
    digest: 'bench',
    statistics: {},
    splits: { train: table(rows), validation: table(1), test: table(1) },
    signature: { task: 'classification' },
  },
  loss: { name: 'sparseCategoricalCrossentropy' },
  optimizer: { name: 'sgd', learningRate: 0.01 },
  ...{ metrics: [], epochs: 1, batchSize: batch, seed: 7, threads: 1, work },
  options: { checkpointSeconds: 3600 },
  signal: { aborted: false },
  onProgress: () => undefined,
  ranks: timed,
});
rmSync(work, { recursive: true, force: true });

/** The sum of all weights' gradients in one call, after all have met. */
const flat = new Float32Array(weights.length);
const alone = [];
for (let turn = 0; turn < steps; turn++) {
  await ranks.sum(new Float32Array(16));
  const began = performance.now();
  await ranks.sum(flat);
  alone.push(performance.now() - began);
}

/** The same sum while the network computes: what there is to gain from doing both at a time. */
const { model, prediction } = buildNetwork(network, weights);
const graph = { ...model.graph, outputs: [{ name: prediction, dtype: 'float32' }] };
const session = await openSession(encodeModel({ ...model, graph }), { threads: 1 });
// Backward costs about two times forward.
const share = 3 * Math.ceil(batch / ranks.size);
const x = { dtype: 'float32', dims: [share, widths[0]], data: new Float32Array(share * widths[0]) };
const [apart, together] = [[], []];
for (let turn = 0; turn < steps; turn++) {
  await ranks.sum(new Float32Array(16));
  let began = performance.now();
  await session.run({ x });
  await ranks.sum(flat);
  apart.push(performance.now() - began);
  await ranks.sum(new Float32Array(16));
  began = performance.now();
  await Promise.all([ranks.sum(flat), session.run({ x })]);
  together.push(performance.now() - began);
}
const column = (at) => median(times.slice(skipped).map((each) => each[at]));
const rest = [alone, apart, together].map((found) => median(found.slice(skipped)));
const mine = [column(0), column(1), column(2), ...rest];
const all = new Float32Array(mine.length);
all.set(mine.map((time) => time / ranks.size));
await ranks.sum(all);
const [step, wait, communicate, allReduce, oneByOne, atOnce] = all;
if (ranks.rank === 0) {
  const compute = step - wait - communicate;
  const figures = { parameters: flat.length, step, compute, wait, communicate, allReduce, oneByOne, atOnce };
  console.log(`result ${JSON.stringify(figures)}`);
}
ranks.close();
