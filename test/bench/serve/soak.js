// `npm run bench:soak`: the memory of `maas serve` under full load for a long time, and its CPU time when nobody asks.
//   --minutes 30    --model mlp    --protocol json|binary    --concurrency 64    --json
// Memory is looked at every five seconds. Its slope is that of the line through the second half of the looks: what the
// allocator and V8 take while they settle is no leak. JavaScript's heap comes and goes with its garbage, by tens of MB, so
// that what lies outside of it is told of by itself (native). Linux only: it reads /proc.
import { fork, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fetch } from 'undici';
import { buildIfStale } from '../../../bin/build.js';
import { writeModel } from './models.js';

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    model: { type: 'string', default: 'mlp' },
    protocol: { type: 'string', default: 'binary' },
    concurrency: { type: 'string', default: '64' },
    json: { type: 'boolean', default: false },
  },
});
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const [interval, idleSeconds, turn] = [5, 20, 20];
const megabytes = (bytes) => bytes / 2 ** 20;

/** Resident memory of a process, in bytes. */
const memoryOf = (pid) =>
  1024 * Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

/** User and system time of a process, in seconds; Linux counts a hundred a second for everybody. */
function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** JavaScript's heap of the server, in bytes. */
async function heapOf(port) {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^nodejs_heap_size_total_bytes (\S+)/m.exec(text)[1]);
}

const scratch = mkdtempSync(join(tmpdir(), 'maas-soak-'));
let server;
const client = fork(here('load.js'), { stdio: ['ignore', 2, 2, 'ipc'] });
try {
  await buildIfStale(new URL('../../..', import.meta.url));
  const path = writeModel(flags.model, scratch, await import('../../../dist/internals/benches.js'));
  const command = [here('../../../bin/run.js'), 'serve', path, '--port', '0', '--events'];
  server = spawn(process.execPath, command, { cwd: scratch, stdio: ['ignore', 'pipe', 2] });
  const port = await new Promise((resolve, reject) => {
    server.once('exit', () => reject(new Error('maas serve did not start')));
    createInterface({ input: server.stdout }).on('line', (line) => {
      const event = JSON.parse(line);
      if (event.event === 'serving') resolve(Number(new URL(event.url).port));
    });
  });
  const until = performance.now() + Number(flags.minutes) * 60_000;
  const looks = [];
  let [requests, over] = [0, false];
  const watching = (async () => {
    for (; !over; await sleep(1000 * interval)) {
      const heap = await heapOf(port);
      const bytes = memoryOf(server.pid);
      looks.push({ at: performance.now() / 60_000, bytes, native: bytes - heap });
    }
  })();
  // In turns, so that the client's own figures stay small.
  while (performance.now() < until) {
    const seconds = Math.max(1, Math.min(turn, (until - performance.now()) / 1000));
    client.send({
      port,
      path: `/v2/models/${flags.model}/infer`,
      model: flags.model,
      protocol: flags.protocol,
      rows: 1,
      concurrency: Number(flags.concurrency),
      warmUp: 0,
      seconds,
    });
    const said = await new Promise((resolve) => client.once('message', resolve));
    if (said.failed) throw new Error(said.failed);
    requests += said.requests;
  }
  over = true;
  await watching;
  const before = cpuOf(server.pid);
  await sleep(1000 * idleSeconds);
  const idle = (cpuOf(server.pid) - before) / idleSeconds;
  const late = looks.slice(Math.floor(looks.length / 2));
  const result = {
    minutes: Number(flags.minutes),
    requests,
    startMB: megabytes(looks[0].bytes),
    halfwayMB: megabytes(late[0].bytes),
    endMB: megabytes(late.at(-1).bytes),
    mostMB: megabytes(Math.max(...looks.map(({ bytes }) => bytes))),
    slopeMBPerHour: 60 * megabytes(slopeOf(late, 'bytes')),
    nativeStartMB: megabytes(looks[0].native),
    nativeEndMB: megabytes(late.at(-1).native),
    nativeSlopeMBPerHour: 60 * megabytes(slopeOf(late, 'native')),
    idleCpuPercent: 100 * idle,
  };
  if (flags.json) console.log(JSON.stringify(result, null, 2));
  else
    for (const [name, value] of Object.entries(result))
      console.log(name.padEnd(16), Number(value.toFixed(2)));
} finally {
  client.kill('SIGKILL');
  server?.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
}

/** Least squares, in bytes a minute. */
function slopeOf(looks, what) {
  const mean = (of) => looks.reduce((sum, look) => sum + of(look), 0) / looks.length;
  const [x, y] = [mean(({ at }) => at), mean((look) => look[what])];
  const of = (f) => looks.reduce((sum, look) => sum + f(look.at - x, look[what] - y), 0);
  return of((a, b) => a * b) / of((a) => a * a);
}
