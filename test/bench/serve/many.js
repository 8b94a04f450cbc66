// `npm run bench:models`: many models in one server: how long until all are there, what each takes of memory, and what a
// request waits for, asked for by turns; and the same with memory for some of them alone, where those that were used longest
// ago make room for others.
//   --models 100    --model mlp    --share 0.25 of the models that memory is for    --seconds 5    --concurrency 8    --json
// Linux only: it reads /proc.
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../../../bin/build.js';
import { models, randomNumbers, writeModel } from './models.js';

const { values: flags } = parseArgs({
  options: {
    models: { type: 'string', default: '100' },
    model: { type: 'string', default: 'mlp' },
    share: { type: 'string', default: '0.25' },
    seconds: { type: 'string', default: '5' },
    concurrency: { type: 'string', default: '8' },
    json: { type: 'boolean', default: false },
  },
});
const count = Number(flags.models);
const bin = fileURLToPath(new URL('../../../bin/run.js', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'maas-bench-models-'));
const megabytes = (bytes) => bytes / 2 ** 20;
const round = (value) => Number(value.toFixed(2));
const nameOf = (index) => `model-${String(index).padStart(4, '0')}`;

try {
  await buildIfStale(new URL('../../..', import.meta.url));
  const file = writeModel(flags.model, scratch, await import('../../../dist/internals/benches.js'));
  const { size } = statSync(file);
  const folder = join(scratch, 'models');
  const rows = [];
  rows.push(await measure('one', writeModels(1)));
  rows.push(await measure('all', writeModels(count)));
  // The server counts twice the file for each: onnxruntime packs weights anew.
  const budget = Math.floor(2 * size * count * Number(flags.share));
  rows.push(await measure('some', folder, budget));
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length };
  const result = {
    machine,
    node: process.version,
    model: flags.model,
    modelMB: round(megabytes(size)),
    rows,
  };
  if (flags.json) console.log(JSON.stringify(result, null, 2));
  else {
    console.log(`${flags.model}, ${result.modelMB} MB each`);
    console.table(rows);
  }

  function writeModels(upTo) {
    for (let index = 0; index < upTo; index++) {
      const version = join(folder, nameOf(index), '1');
      mkdirSync(version, { recursive: true });
      copyFileSync(file, join(version, 'model.onnx'));
    }
    return folder;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** @param budget Bytes for the models; all of them without it. */
async function measure(memory, folder, budget) {
  const config = join(scratch, 'maas.config.yaml');
  // A project that is served from alone still has to say what the others of it are.
  writeFileSync(
    config,
    `name: many
data: { source: none.csv, target: y }
train: { model: { layers: [{ dense: {} }] } }
serve: { memoryBudget: ${budget ?? 2 ** 40} }
`,
  );
  const start = performance.now();
  const server = await startServer(folder);
  const readySeconds = (performance.now() - start) / 1000;
  try {
    const names = (await post(server, '/v2/repository/index', '{}')).json.map(({ name }) => name);
    const body = bodyOf();
    const ask = async (name) => (await post(server, `/v2/models/${name}/infer`, body)).status;
    // One by one, as a caller who is alone; then some callers at once, each at any model.
    const alone = [];
    for (let turn = 0; turn < Math.max(200, names.length); turn++) {
      alone.push(await timed(() => ask(names[turn % names.length])));
    }
    const before = await loadsOf(server);
    const times = [];
    const statuses = {};
    const until = performance.now() + 1000 * Number(flags.seconds);
    const next = randomNumbers(3);
    const caller = async () => {
      while (performance.now() < until) {
        // Some are asked for far more often than others.
        const name = names[Math.floor(names.length * ((next() + 1) / 2) ** 3)];
        const start = performance.now();
        const status = await ask(name);
        times.push(performance.now() - start);
        statuses[status] = (statuses[status] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: Number(flags.concurrency) }, caller));
    const loaded = await loadsOf(server);
    return {
      memory: budget === undefined ? memory : `${memory}: ${Math.round(megabytes(budget))} MB`,
      models: names.length,
      loaded: loaded.count,
      readySeconds: round(readySeconds),
      rssMB: Math.round(megabytes(memoryOf(server.pid))),
      aloneP50: round(quantile(alone, 0.5)),
      aloneP99: round(quantile(alone, 0.99)),
      served: Math.round(times.length / Number(flags.seconds)),
      p50: round(quantile(times, 0.5)),
      p99: round(quantile(times, 0.99)),
      failed: times.length - (statuses[200] ?? 0),
      loads: loaded.loads - before.loads,
    };
  } finally {
    await server.stop();
  }
}

async function startServer(folder) {
  const child = spawn(process.execPath, [bin, 'serve', '--models', folder, '--port', '0', '--events'], {
    cwd: scratch,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const agent = new Agent({ keepAlive: true });
  const stop = () => {
    agent.destroy();
    return new Promise((resolve) => child.once('exit', resolve) && child.kill('SIGTERM'));
  };
  const state = { pid: child.pid, agent, port: 0, loads: 0, stop };
  await new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error('maas serve did not start')));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = JSON.parse(line);
      if (event.event !== 'serving') return;
      state.loads++;
      state.port = Number(new URL(event.url).port);
      resolve();
    });
  });
  while (!(await get(state, '/v2/health/ready')).ok) await new Promise((resolve) => setTimeout(resolve, 10));
  return state;
}

async function loadsOf(server) {
  const index = (await post(server, '/v2/repository/index', '{"ready":true}')).json;
  return { count: index.length, loads: server.loads };
}

function bodyOf() {
  const { data, ...input } = models[flags.model].row(1, randomNumbers(5));
  return JSON.stringify({ inputs: [{ ...input, data: Array.from(data) }] });
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function post(server, path, body) {
  return ask(server, 'POST', path, body);
}

function get(server, path) {
  return ask(server, 'GET', path);
}

function ask({ port, agent }, method, path, body) {
  return new Promise((resolve, reject) => {
    const headers =
      body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length };
    request({ host: '127.0.0.1', port, agent, method, path, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => (text += part));
      answer.on('end', () => {
        const { statusCode: status } = answer;
        resolve({
          status,
          ok: status === 200,
          get json() {
            return JSON.parse(text);
          },
        });
      });
    })
      .on('error', reject)
      .end(body);
  });
}

/** Resident memory of a process, in bytes. */
function memoryOf(pid) {
  return 1024 * Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}

function quantile(values, share) {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))];
}
