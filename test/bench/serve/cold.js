// `npm run bench:cold`: from the start of `maas serve FILE` until it is ready, warmed up and all, and has given its first
// answer: the first start of a model, and medians of those after, which find it prepared; and what one worker and two take of
// memory. Linux only: it reads /proc.
//   --megabytes 10,100,1000   --rounds 5   --json
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fetch } from 'undici';
import { buildIfStale } from '../../../bin/build.js';

const { values: flags } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '10,100,1000' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const root = new URL('../../../', import.meta.url);
const command = fileURLToPath(new URL('bin/run.js', root));
const scratch = mkdtempSync(join(tmpdir(), 'maas-bench-cold-'));
/** Of the square matrices that the models are made of: 4 MB each. */
const width = 1024;

/** What is this process's own, and its share of what it shares, in MB. */
function memoryOf(pid) {
  return Number(/^Pss:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) / 1024;
}

/** Dense layers, one behind another, until the weights take as much. */
async function writeModel(megabytes) {
  const { GraphBuilder, tensor, encodeModel } = await import('../../../dist/internals/benches.js');
  const graph = new GraphBuilder('cold');
  let value = graph.input('x', 'float32', ['N', width]);
  for (let layer = 0; layer < Math.max(1, Math.round(megabytes / 4)); layer++) {
    const weights = Float32Array.from({ length: width * width }, () => (Math.random() - 0.5) / 16);
    value = graph.op('Relu', [
      graph.op('MatMul', [value, graph.constant(tensor('float32', [width, width], weights))]),
    ]);
  }
  graph.output(value, 'y');
  const rest = { irVersion: 10, opsets: { '': 20 }, producer: 'maas-bench', metadata: {} };
  const path = join(scratch, `m${megabytes}.onnx`);
  writeFileSync(path, encodeModel({ ...rest, graph: graph.build() }));
  return path;
}

/** Starts it, asks once, stops it. In milliseconds and MB. */
async function serveOnce(path, workers, isFirst = false) {
  const folder = join(scratch, `workers-${workers}`);
  mkdirSync(folder, { recursive: true });
  const config = [
    'name: bench',
    'data: {source: none.csv, target: y}',
    'train: {model: {layers: [{dense: {units: 1}}]}}',
  ];
  writeFileSync(join(folder, 'maas.config.yaml'), [...config, `serve: {workers: ${workers}}`, ''].join('\n'));
  const start = performance.now();
  const child = spawn(process.execPath, [command, 'serve', path, '--port', '0', '--events'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 2],
    env: { ...process.env, XDG_CACHE_HOME: join(scratch, 'cache') },
  });
  const lines = createInterface({ input: child.stdout });
  const prepared = new Promise((resolve) => {
    lines.on('line', (line) => line.includes(' prepared for ') && resolve());
    child.once('exit', resolve);
  });
  try {
    for await (const line of lines) {
      const event = JSON.parse(line);
      if (event.event !== 'serving') continue;
      while (!(await fetch(`${event.url}/v2/health/ready`)).ok)
        await new Promise((resolve) => setTimeout(resolve, 1));
      const ready = performance.now() - start;
      const input = { name: 'x', datatype: 'FP32', shape: [1, width], data: new Array(width).fill(0.5) };
      const answer = await fetch(`${event.url}/v2/models/${event.model}/infer`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ inputs: [input] }),
      });
      if (!answer.ok) throw new Error(await answer.text());
      await answer.arrayBuffer();
      const first = performance.now() - start;
      if (isFirst) await prepared;
      // The other workers follow the first.
      for (;;) {
        const before = memoryOf(child.pid);
        await new Promise((resolve) => setTimeout(resolve, 500));
        if (Math.abs(memoryOf(child.pid) - before) < 1) return { ready, first, memory: memoryOf(child.pid) };
      }
    }
    throw new Error('maas serve did not start');
  } finally {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode === null && child.kill('SIGTERM')) await gone;
  }
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

const rows = [];
try {
  await buildIfStale(root);
  for (const megabytes of flags.megabytes.split(',').map(Number)) {
    const path = await writeModel(megabytes);
    const one = [];
    // Which fills the disk's cache, too.
    const first = await serveOnce(path, 1, true);
    for (let round = 0; round < Number(flags.rounds); round++) one.push(await serveOnce(path, 1));
    const two = await serveOnce(path, 2);
    const size = statSync(path).size / 2 ** 20;
    const memory = median(one.map((each) => each.memory));
    rows.push({
      megabytes: size,
      firstReadyMs: first.ready,
      readyMs: median(one.map((each) => each.ready)),
      firstAnswerMs: median(one.map((each) => each.first)),
      memoryMB: memory,
      secondWorkerMB: two.memory - memory,
      secondWorkerShare: (two.memory - memory) / size,
    });
    rmSync(path);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
if (flags.json)
  console.log(JSON.stringify({ machine: { cpu: cpus()[0].model, load: loadavg()[0] }, rows }, null, 2));
else {
  for (const row of rows) {
    console.log(
      `${row.megabytes.toFixed(0)} MB: ready after ${row.readyMs.toFixed(0)} ms (the first time ${row.firstReadyMs.toFixed(0)} ms), first answer ${row.firstAnswerMs.toFixed(0)} ms; ` +
        `${row.memoryMB.toFixed(0)} MB with one worker, ${row.secondWorkerMB.toFixed(0)} MB more with two (${(100 * row.secondWorkerShare).toFixed(0)} % of the model)`,
    );
  }
}
