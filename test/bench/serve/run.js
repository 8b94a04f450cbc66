// `npm run bench:serve`: what `maas serve` answers a second, next to what the machine allows: a bare session at its best
// batch size on the same cores, and a bare node:http server that takes and gives as many bytes. And next to other servers,
// with the same model and the same client. All in turn: `ratio` is ours by theirs within a round.
//   --json                      prints one object instead of a table
//   --models mlp,cnn            --protocols json,binary   --concurrency 1,8,64   --seconds 2
//   --processes 1,2             serve.processes of `maas serve`, in turn
//   --peers fastapi,mlserver    which ones; an empty text for none
//   --python FOLDER             with a virtual environment for each peer, by its name; without it they are made from PyPI
import { fork, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../../../bin/build.js';
import { writeModel } from './models.js';
import { findPython, peers, startPeer, versionOf } from './peers.js';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    models: { type: 'string', default: 'mlp,cnn,resnet18,bert' },
    protocols: { type: 'string', default: 'json,binary' },
    concurrency: { type: 'string', default: '1,8,64' },
    peers: { type: 'string', default: Object.keys(peers).join() },
    processes: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '2' },
    python: { type: 'string' },
  },
});
const list = (text) => text.split(',').filter(Boolean);
const seconds = Number(flags.seconds);
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const say = (text) => process.stderr.write(`${text}\n`);
const cores = availableParallelism();
const rounds = 3;

/** A child that answers each message with one. */
function start(name) {
  const child = fork(here(name), { stdio: ['ignore', 2, 2, 'ipc'] });
  const message = () => new Promise((resolve) => child.once('message', resolve));
  return {
    message,
    async ask(order) {
      const answer = message();
      child.send(order);
      const said = await answer;
      if (said.failed) throw new Error(said.failed);
      return said;
    },
    stop: () => child.kill('SIGKILL'),
  };
}

/** `maas serve FILE`, as a user starts it. */
async function startMaas(path, processes) {
  const child = spawn(
    process.execPath,
    [
      here('../../../bin/run.js'),
      'serve',
      path,
      '--port',
      '0',
      '--events',
      '--set',
      `serve.processes=${processes}`,
    ],
    {
      cwd: scratch,
      stdio: ['ignore', 'pipe', 2],
    },
  );
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line);
    if (event.event !== 'serving') continue;
    child.stdout.resume();
    const stop = () => new Promise((resolve) => child.once('exit', resolve) && child.kill('SIGTERM'));
    const path = `/v2/models/${encodeURIComponent(event.model)}/infer`;
    return { port: Number(new URL(event.url).port), path, stop };
  }
  throw new Error('maas serve did not start');
}

const scratch = mkdtempSync(join(tmpdir(), 'maas-bench-serve-'));
// 256 images as JSON are more than a server should take unasked.
writeFileSync(
  join(scratch, 'maas.config.yaml'),
  `name: bench
data: {source: none.csv, target: y}
train: {model: {layers: [{dense: {units: 1}}]}}
serve: {maxBodyBytes: ${256 * 2 ** 20}}
`,
);
const versions = { node: process.version };
const rows = [];
let port = 20_000 + (process.pid % 20_000);
try {
  await buildIfStale(new URL('../../..', import.meta.url));
  const ir = await import('../../../dist/internals/benches.js');
  versions.onnxruntime = ir.runtimeVersion();
  const pythons = {};
  for (const name of list(flags.peers)) {
    if (!Object.hasOwn(peers, name)) {
      throw new Error(`there is no peer "${name}"; --peers takes ${Object.keys(peers).join(', ')}`);
    }
    pythons[name] = findPython(name, flags.python, say);
    if (pythons[name]) versions[name] = versionOf(name, pythons[name]);
    else say(`skipped ${name}: there is no Python for it in ${flags.python}`);
  }
  for (const model of list(flags.models)) await benchModel(model, writeModel(model, scratch, ir), pythons);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
const machine = { cpu: cpus()[0].model, cores, load: loadavg()[0] };
if (flags.json) console.log(JSON.stringify({ machine, versions, rows }, null, 2));
else printTable();

async function benchModel(model, path, pythons) {
  const bare = start('bare.js');
  const best = await bare.ask({ path, model, seconds: Math.min(seconds, 1) });
  say(
    `${model}: a bare session gives ${round(best.served)} rows/s in batches of ${best.rows} ` +
      `(${best.workers} × ${best.threads} threads), p99 of one row ${best.p99.toFixed(2)} ms`,
  );
  const servers = [];
  for (const text of list(flags.processes)) {
    const processes = Number(text);
    servers.push({ processes, ...(await startMaas(path, processes)), cells: cellsOf(model, processes) });
  }
  const echo = start('echo.js');
  const floor = { path: servers[0].path, ...(await echo.message()) };
  const others = [];
  for (const [name, python] of Object.entries(pythons)) {
    const server = python && (await startOther(name, python, path));
    if (server) others.push({ name, ...server });
  }
  const limits = {
    http: async (cell, bytes) => {
      await echo.ask({ bytes });
      return (await measure(floor, cell, seconds / rounds)).served;
    },
    bare: async () => (await bare.ask({ path, model, seconds: seconds / rounds, best })).served,
  };
  for (const at of servers[0].cells.keys()) {
    const cells = servers.map((served) => served.cells[at]);
    for (const cell of cells) cell.bareP99 = best.p99;
    await compare(cells, servers, others, limits);
    for (const cell of cells) {
      rows.push(cell);
      say(describe(cell));
    }
  }
  echo.stop();
  bare.stop();
  for (const { stop } of [...servers, ...others]) await stop();
}

function cellsOf(model, processes) {
  return list(flags.protocols).flatMap((protocol) => [
    ...list(flags.concurrency).map((text) => ({
      model,
      processes,
      concurrency: Number(text),
      protocol,
      rows: 1,
    })),
    { model, processes, concurrency: 4, protocol, rows: 256 },
  ]);
}

/**
 * Ours, the others and both limits in turn, several times: the machine may be slower the next minute, and what counts is what
 * holds between those of a round. Figures are medians.
 */
async function compare(cells, servers, others, limits) {
  const turns = [];
  const failed = {};
  for (let round = 0; round < rounds; round++) {
    const turn = { ours: [], others: {} };
    for (const [index, served] of servers.entries())
      turn.ours.push(await measure(served, cells[index], seconds / rounds));
    turn.http = await limits.http(cells[0], turn.ours[0].answerBytes);
    turn.bare = await limits.bare();
    for (const { name, ...server } of others) {
      if (failed[name] || !peers[name].protocols.includes(cells[0].protocol)) continue;
      try {
        turn.others[name] = await measure(server, cells[0], seconds / rounds);
      } catch (error) {
        failed[name] = { failed: error.message };
        say(`${name}, ${headOf(cells[0])}: ${error.message}`);
      }
    }
    turns.push(turn);
  }
  const medianOf = (figure) => median(turns.map(figure));
  for (const [index, cell] of cells.entries()) {
    for (const figure of ['served', 'p50', 'p99']) cell[figure] = medianOf(({ ours }) => ours[index][figure]);
    for (const limit of ['bare', 'http']) cell[limit] = medianOf((turn) => turn[limit]);
    cell.limit = Math.min(cell.bare, cell.http);
    cell.efficiency = medianOf(({ ours, bare, http }) => ours[index].served / Math.min(bare, http));
    cell.peers = { ...failed };
    for (const name of Object.keys(turns[0].others)) {
      if (failed[name]) continue;
      const figures = ['served', 'p50', 'p99'].map((figure) => [
        figure,
        medianOf((turn) => turn.others[name][figure]),
      ]);
      const ratio = medianOf((turn) => turn.ours[index].served / turn.others[name].served);
      cell.peers[name] = { ...Object.fromEntries(figures), ratio };
    }
  }
}

async function startOther(name, python, path) {
  const order = { python, model: path, port: (port += 2), folder: join(scratch, `${name}-${port}`) };
  // LitServe starts a process for each worker; the others run their session in one.
  const threads = name === 'litserve' ? 1 : cores;
  return startPeer(name, { ...order, threads, workers: cores }).catch((error) => {
    say(`skipped ${name}: ${error.message}`);
  });
}

async function measure({ port, path }, { model, protocol, concurrency, rows }, seconds) {
  const load = start('load.js');
  try {
    return await load.ask({ port, path, model, protocol, concurrency, rows, seconds, warmUp: 0.5 });
  } finally {
    load.stop();
  }
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

function round(value) {
  return value >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

function headOf({ model, processes, protocol, concurrency, rows: count }) {
  const several = processes > 1 ? `, ${processes} processes` : '';
  return `${model}${several} ${protocol} c=${concurrency}${count > 1 ? ` × ${count} rows` : ''}`;
}

function describe(cell) {
  const { served, p99, efficiency, limit, peers: others } = cell;
  const theirs = Object.entries(others).map(([name, { served: by, p99: late, ratio }]) =>
    by === undefined
      ? `${name} failed`
      : `${name} ${round(by)}/s (× ${ratio.toFixed(2)}) ${late.toFixed(2)} ms`,
  );
  const figures = `${round(served)}/s of ${round(limit)} (${(100 * efficiency).toFixed(0)} %), p99 ${p99.toFixed(2)} ms`;
  return `${headOf(cell)}: ${figures} | ${theirs.join(' | ')}`;
}

function printTable() {
  console.log(`${cpus()[0].model}, ${cores} cores; ${JSON.stringify(versions)}`);
  for (const row of rows) console.log(describe(row));
}
