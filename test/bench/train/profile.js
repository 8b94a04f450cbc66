// Where the time of a training step goes: operators of the compiled step, by the time that onnxruntime measures for each.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Steps in a run; the first run warms up. */
const [steps, runs] = [4, 4];

/**
 * @param job As the engine gets it.
 * @returns Milliseconds of a step by operator, the slowest first.
 */
export async function profileStep(job) {
  const { compileStep } = await import('../../../dist/stages/train/engines/onnx/compile-step.js');
  const { stackSteps } = await import('../../../dist/stages/train/engines/onnx/stack-steps.js');
  const { encodeModel } = await import('../../../dist/ir/onnx/save.js');
  const { loadRuntime } = await import('../../../dist/runtime/load.js');
  const ort = await loadRuntime();
  const compiled = compileStep(job);
  const { model, inputs } = stackSteps(compiled);
  const folder = mkdtempSync(join(tmpdir(), 'maas-bench-profile-'));
  try {
    const session = await ort.InferenceSession.create(encodeModel(model), {
      executionProviders: ['cpu'],
      intraOpNumThreads: job.threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'basic',
      enableMemPattern: false,
      logSeverityLevel: 4,
      enableProfiling: true,
      profileFilePrefix: join(folder, 'step'),
      extra: { session: { intra_op: { allow_spinning: '0' } } },
    });
    const feeds = feedsOf(ort, job, compiled, inputs);
    for (let run = 0; run < runs; run++) await session.run(feeds);
    session.endProfiling();
    await session.release();
    const events = JSON.parse(readFileSync(join(folder, readdirSync(folder)[0]), 'utf8'));
    return sumUp(events.filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function feedsOf(ort, job, compiled, inputs) {
  const { batchSize, dataset } = job;
  const feeds = {};
  const feed = (name, dtype, data, dims) => (feeds[inputs.get(name)] = new ort.Tensor(dtype, data, dims));
  for (const { input, initial } of compiled.carried) {
    const { data, dims } = initial();
    feed(input, 'float32', data, dims);
  }
  for (const [key, input] of Object.entries(compiled.scalars)) {
    const values = Float32Array.from({ length: steps }, (_, step) => compiled.scalarsAt(step + 1)[key]);
    feed(input, 'float32', values, [steps]);
  }
  const { train } = dataset.splits;
  for (const name of [...compiled.inputs, compiled.target]) {
    const { dtype, dims, data } = name === compiled.target ? train.target : train.inputs[name];
    const shape = [steps, batchSize, ...dims.slice(1)];
    feed(
      name,
      dtype,
      data.slice(
        0,
        shape.reduce((product, size) => product * size),
      ),
      shape,
    );
  }
  return feeds;
}

function sumUp(events) {
  const byOperator = new Map();
  // A Scan's time is that of what is inside it, each of which is listed too.
  for (const { dur, args } of events.filter((event) => event.args.op_name !== 'Scan')) {
    const entry = byOperator.get(args.op_name) ?? { operator: args.op_name, ms: 0, nodes: 0 };
    entry.ms += dur / 1000 / steps / runs;
    entry.nodes += 1 / steps / runs;
    byOperator.set(args.op_name, entry);
  }
  const found = [...byOperator.values()].sort((a, b) => b.ms - a.ms);
  const total = found.reduce((sum, { ms }) => sum + ms, 0);
  return found.map(({ operator, ms, nodes }) => ({
    operator,
    ms,
    share: ms / total,
    nodes: Math.round(nodes),
  }));
}
