// `npm run bench:startup`: what `maas --version` costs, against the least that Node.js costs. Median of 20, interleaved.
// Fails when it costs more than 2.5 times as much.
import { spawnSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

const run = fileURLToPath(new URL('../../bin/run.js', import.meta.url));
const rounds = 20;

const subjects = {
  'node -e 0': ['-e', '0'],
  'maas --version': [run, '--version'],
  'maas --help': [run, '--help'],
};

function time(args) {
  const started = performance.now();
  const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}`);
  return performance.now() - started;
}

function median(times) {
  const sorted = [...times].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

const times = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
// The first round warms the disk cache, and builds a checkout that is not built yet.
for (let round = -1; round < rounds; round++) {
  for (const [name, args] of Object.entries(subjects)) {
    const took = time(args);
    if (round >= 0) times[name].push(took);
  }
}
const least = median(times['node -e 0']);
for (const [name, measured] of Object.entries(times)) {
  const middle = median(measured);
  console.log(`${name.padEnd(16)} ${middle.toFixed(1).padStart(7)} ms  ${(middle / least).toFixed(2)} ×`);
}
if (median(times['maas --version']) > 2.5 * least) process.exitCode = 1;
