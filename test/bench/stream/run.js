// `npm run bench:stream`: trains one epoch of a dense network on a CSV file larger than memory, and tells the time and the
// peak of memory that it took.
//   --json          prints one object instead of a table
//   --gigabytes 10  size of the file, which is made first
//   --folder PATH   where the file and what is made of it lie (three times the file's size); temporary by default
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../../../bin/build.js';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    gigabytes: { type: 'string', default: '10' },
    folder: { type: 'string' },
  },
});
const say = (text) => process.stderr.write(`${text}\n`);
const columns = 10;

/** Ten numbers, a colour, and a class that two of the numbers decide. The last number makes each row another. */
function writeCsv(path, bytes) {
  let state = 7;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const colours = ['red', 'green', 'blue'];
  const parts = Array.from({ length: 5003 }, () => {
    const numbers = Array.from({ length: columns - 1 }, next);
    const kind = numbers[0] + numbers[1] > 0 ? 'a' : 'b';
    return [numbers.map((x) => x.toFixed(5)).join(), `,${colours[state % 3]},${kind}\n`];
  });
  const file = openSync(path, 'w');
  const header = `${Array.from({ length: columns }, (_, at) => `x${at}`)},colour,kind\n`;
  let [written, rows] = [writeSync(file, header), 0];
  while (written < bytes) {
    let text = '';
    for (const [before, behind] of parts) {
      rows += 1;
      text += `${before},${(rows * 61) % 99991}.${rows}${behind}`;
    }
    written += writeSync(file, text);
  }
  closeSync(file);
  return { rows, bytes: written };
}

const config = `name: stream
seed: 7
data: { source: data.csv, target: kind }
train:
  model: { layers: [{ dense: { units: 32, activation: relu } }, { dense: { units: 2, activation: softmax } }] }
  epochs: 1
  batchSize: 256
`;

/** Runs \`maas train\` and gives its result, its last report on the way, and its peak of memory. */
async function train(folder) {
  const peak = join(folder, 'peak');
  const note = `process.on('exit', () => require('node:fs').writeFileSync(${JSON.stringify(peak)}, String(process.resourceUsage().maxRSS)))`;
  writeFileSync(join(folder, 'note.cjs'), note);
  const maas = fileURLToPath(new URL('../../../bin/run.js', import.meta.url));
  const child = spawn(process.execPath, ['--require', join(folder, 'note.cjs'), maas, 'train', '--events'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const began = performance.now();
  let [progress, started] = [undefined, 0];
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line);
    if (event.event !== 'train-progress') continue;
    started ||= performance.now();
    progress = event;
  }
  const seconds = (performance.now() - began) / 1000;
  const [code] = await ended;
  if (code !== 0) throw new Error(`maas train ended with ${code}`);
  // resourceUsage counts kilobytes.
  return {
    seconds,
    encodeSeconds: (started - began) / 1000,
    rowsPerSecond: progress.samplesPerSecond,
    peakBytes: Number(readFileSync(peak, 'utf8')) * 1024,
  };
}

await buildIfStale(new URL('../../..', import.meta.url));
const folder = flags.folder ?? mkdtempSync(join(tmpdir(), 'maas-bench-stream-'));
mkdirSync(folder, { recursive: true });
try {
  say(`making ${flags.gigabytes} GB in ${folder}`);
  const { rows, bytes } = writeCsv(join(folder, 'data.csv'), Number(flags.gigabytes) * 1e9);
  writeFileSync(join(folder, 'maas.config.yaml'), config);
  const row = { bytes, rows, ...(await train(folder)) };
  const machine = { cpu: cpus()[0].model, cores: cpus().length, memory: totalmem(), load: loadavg()[0] };
  if (flags.json) console.log(JSON.stringify({ machine, versions: { node: process.version }, rows: [row] }));
  else {
    console.log(
      `${machine.cpu}, ${machine.cores} cores, load ${machine.load.toFixed(1)}, node ${process.version}`,
    );
    console.log('   GB      rows  to first step s  total s  trained rows/s  peak MB');
    console.log(
      [
        (row.bytes / 1e9).toFixed(1).padStart(5),
        String(row.rows).padStart(9),
        row.encodeSeconds.toFixed(0).padStart(16),
        row.seconds.toFixed(0).padStart(8),
        row.rowsPerSecond.toFixed(0).padStart(15),
        (row.peakBytes / 2 ** 20).toFixed(0).padStart(8),
      ].join(' '),
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
