// Where the time of a training step goes: operators of the compiled step, by the time that onnxruntime measures for each.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

/** The first half of them warms up. */
const steps = 16;

/**
 * @param job As the engine gets it.
 * @returns Milliseconds of a step by operator, the slowest first.
 */
export async function profileStep(job) {
  const {
    SessionThread,
    compileStep,
    encodeModel,
    findBlock,
    gradientGraph,
    loadRuntime,
    openBank,
    planBanks,
    useBlocks,
  } = await import('../../../dist/internals/benches.js');
  const ort = await loadRuntime();
  const thread = new SessionThread();
  const compiled = compileStep(job, { kernels: true, block: await findBlock(thread) });
  const graph = await useBlocks(gradientGraph(compiled), thread);
  await thread.close();
  const folder = mkdtempSync(join(tmpdir(), 'maas-bench-profile-'));
  try {
    const session = await ort.InferenceSession.create(encodeModel({ ...compiled.model, graph }), {
      executionProviders: ['cpu'],
      intraOpNumThreads: job.threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'basic',
      enableMemPattern: false,
      logSeverityLevel: 4,
      enableProfiling: true,
      profileFilePrefix: join(folder, 'step'),
      extra: { session: { intra_op: { allow_spinning: '1', spin_duration_us: '50' } } },
    });
    const feeds = feedsOf(ort, job, compiled);
    for (let step = 0; step < steps; step++) await session.run(feeds);
    session.endProfiling();
    await session.release();
    const events = JSON.parse(readFileSync(join(folder, readdirSync(folder)[0]), 'utf8'));
    const found = sumUp(events.filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time')));
    const banks = planBanks(compiled.kernels).map(openBank);
    return withShares([...found, { operator: '(update)', ms: timeKernels(banks), nodes: banks.length }]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The update, which is no part of the graph. */
function timeKernels(banks) {
  const times = Array.from({ length: steps }, () => {
    const start = performance.now();
    for (const bank of banks) bank.run([0.001, 1e-7]);
    return performance.now() - start;
  });
  return times.sort((a, b) => a - b)[steps >> 1];
}

function feedsOf(ort, job, compiled) {
  const { batchSize, dataset } = job;
  const feeds = {};
  for (const { input, initial } of compiled.carried.filter(({ fill }) => fill === undefined)) {
    const { data, dims } = initial();
    feeds[input] = new ort.Tensor('float32', data, dims);
  }
  const { train } = dataset.splits;
  for (const name of [...compiled.inputs, compiled.target]) {
    const { dtype, dims, data } = name === compiled.target ? train.target : train.inputs[name];
    const shape = [batchSize, ...dims.slice(1)];
    const size = shape.reduce((product, length) => product * length);
    feeds[name] = new ort.Tensor(dtype, data.slice(0, size), shape);
  }
  return feeds;
}

/**
 * Milliseconds and nodes of a step, by operator; of the later half of the steps. Of each node the median counts: it hardly
 * sees that the machine did something else meanwhile.
 */
function sumUp(events) {
  // The time of a node with a graph inside is that of what is inside it, each of which is listed too.
  const leaves = events.filter(({ args }) => !['Scan', 'If', 'Loop'].includes(args.op_name));
  const byNode = new Map();
  for (const event of leaves.slice(leaves.length >> 1)) {
    byNode.set(event.name, [...(byNode.get(event.name) ?? []), event]);
  }
  const byOperator = new Map();
  for (const same of byNode.values()) {
    const operator = same[0].args.op_name;
    const entry = byOperator.get(operator) ?? { operator, ms: 0, nodes: 0 };
    const times = same.map(({ dur }) => dur).sort((a, b) => a - b);
    const nodes = same.length / (steps / 2);
    entry.ms += (times[times.length >> 1] / 1000) * nodes;
    entry.nodes += nodes;
    byOperator.set(operator, entry);
  }
  return [...byOperator.values()].map((entry) => ({ ...entry, nodes: Math.round(entry.nodes) }));
}

function withShares(found) {
  const total = found.reduce((sum, { ms }) => sum + ms, 0);
  return found.sort((a, b) => b.ms - a.ms).map((entry) => ({ ...entry, share: entry.ms / total }));
}
