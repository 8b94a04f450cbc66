// `npm run bench:padding`: an encoder that callers send 8 to 64 words each. Requests of a length share runs, or, padded by
// `serve.padding`, those of different lengths do. Models of one server, in turn; figures are medians of rounds.
//   --model words, of four layers of width 256, or fewWords, of two of width 128
//   --concurrency 32    --seconds 2    --rounds 5    --buckets 16,32,64 of the third model    --json
import { fork, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../../../bin/build.js';
import { writeModel } from './models.js';

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: 'words' },
    concurrency: { type: 'string', default: '32' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    buckets: { type: 'string', default: '16,32,64' },
    json: { type: 'boolean', default: false },
  },
});
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'maas-bench-padding-'));
const names = ['apart', 'auto', 'buckets'];

try {
  await buildIfStale(new URL('../../..', import.meta.url));
  const file = writeModel(flags.model, scratch, await import('../../../dist/internals/benches.js'));
  const folder = join(scratch, 'models');
  mkdirSync(folder);
  for (const name of names) copyFileSync(file, join(folder, `${name}.onnx`));
  writeFileSync(
    join(scratch, 'maas.config.yaml'),
    `name: bench
data: { source: none.csv, target: y }
train: { model: { layers: [{ dense: {} }] } }
serve:
  models:
    auto: { padding: { words: {} } }
    buckets: { padding: { words: { buckets: [${flags.buckets}] } } }
`,
  );
  const server = await startServer(folder);
  const figures = new Map(names.map((name) => [name, []]));
  try {
    for (let round = 0; round < Number(flags.rounds); round++) {
      for (const name of names) figures.get(name).push(await measure(server.port, name));
    }
    const metrics = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
    const apart = figures.get(names[0]);
    const rows = names.map((name) => describe(name, figures.get(name), apart, metrics));
    const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
    if (flags.json) console.log(JSON.stringify({ machine, rows }, null, 2));
    else console.table(rows);
  } finally {
    await server.stop();
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function startServer(folder) {
  const child = spawn(
    process.execPath,
    [here('../../../bin/run.js'), 'serve', '--models', folder, '--port', '0', '--events'],
    { cwd: scratch, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const stop = () => new Promise((resolve) => child.once('exit', resolve) && child.kill('SIGTERM'));
  let served = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line);
    if (event.event === 'warning') process.stderr.write(`${event.text}\n`);
    if (event.event !== 'serving') continue;
    if (++served < names.length) continue;
    child.stdout.resume();
    return { port: Number(new URL(event.url).port), stop };
  }
  throw new Error('maas serve did not start');
}

/** One client, a process of its own. */
async function measure(port, name) {
  const client = fork(here('load.js'), { stdio: ['ignore', 2, 2, 'ipc'] });
  const [concurrency, seconds] = [Number(flags.concurrency), Number(flags.seconds)];
  const what = {
    model: flags.model,
    rows: 1,
    protocol: 'binary',
    variety: 509,
    path: `/v2/models/${name}/infer`,
  };
  try {
    const answer = new Promise((resolve) => client.once('message', resolve));
    client.send({ port, concurrency, seconds, warmUp: 0.5, ...what });
    const figures = await answer;
    if (figures.failed) throw new Error(figures.failed);
    return figures;
  } finally {
    client.kill('SIGKILL');
  }
}

/** Rates are held against those of the same round: the machine's speed changes. */
function describe(name, figures, apart, metrics) {
  const value = (metric, label = '') => {
    const line = new RegExp(`^${metric}\\{(?=[^}]*model="${name}")(?=[^}]*${label})[^}]*\\} (.*)$`, 'm');
    return Number(line.exec(metrics)?.[1] ?? 0);
  };
  const [data, padding] = ['data', 'padding'].map((kind) =>
    value('maas_padded_elements_total', `kind="${kind}"`),
  );
  const ratios = figures.map((each, round) => each.served / apart[round].served);
  return {
    model: name,
    answersPerSecond: Math.round(median(figures.map((each) => each.served))),
    timesApart: Number(median(ratios).toFixed(2)),
    p50: Number(median(figures.map((each) => each.p50)).toFixed(1)),
    p99: Number(median(figures.map((each) => each.p99)).toFixed(1)),
    rowsPerRun: Number((value('maas_batch_rows_sum') / value('maas_batch_rows_count')).toFixed(1)),
    padding: padding === 0 ? 0 : Number((padding / (data + padding)).toFixed(3)),
  };
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
