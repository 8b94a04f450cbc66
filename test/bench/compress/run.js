// `npm run bench:compress`: sizes, latencies, losses, times and peak memory next to onnxruntime.quantization, Olive and
// Neural Compressor, on the same models and the same calibration rows in one run. Ratios are ours / theirs: below 1 is better.
// timeRatio is processor time of a whole process, from its start to the file written; workRatio leaves out the start of the
// interpreters and loading the libraries, which a process that compresses many models pays once.
//   --json             prints one object instead of a table
//   --python PATH      a Python that has the peers; without it each gets a virtual environment, from PyPI
//   --data FOLDER      where intents.csv and tinyshakespeare.txt lie; without it the models of text are left out
//   --models mlp,gpt   --recipes 'static int8'   --peers onnxruntime,olive,inc
//   --folder FOLDER    for models and environments, which stay
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../../../bin/build.js';
import { writeBatches } from './batches.js';
import { carried, peers, recipes, recipesOf, trained } from './models.js';
import { openCarried, openTrained } from './open.js';
import { printTable } from './print-table.js';

const all = { ...trained, ...carried };
const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    python: { type: 'string' },
    data: { type: 'string' },
    models: { type: 'string', default: Object.keys(all).join() },
    recipes: { type: 'string', default: Object.keys(recipes).join(';') },
    peers: { type: 'string', default: Object.keys(peers).join() },
    folder: { type: 'string', default: join(tmpdir(), 'maas-bench-compress') },
  },
});
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const say = (text) => process.stderr.write(`${text}\n`);

/** The names that a flag gives; a wrong one must not pass for one with nothing to show. */
function namesOf(flag, known, separator = ',') {
  const names = flags[flag].split(separator).map((name) => name.trim());
  const wrong = names.find((name) => !known.includes(name));
  if (wrong === undefined) return names;
  say(`--${flag}: there is no ${wrong}; there are ${known.join(', ')}`);
  return process.exit(2);
}

const wanted = namesOf('models', Object.keys(all));
// Some recipes have commas in their names.
const chosen = namesOf('recipes', Object.keys(recipes), ';');
const asked = namesOf('peers', Object.keys(peers));
const folder = resolve(flags.folder);
mkdirSync(folder, { recursive: true });
/** Of its own, for two runs at once. */
const work = mkdtempSync(join(folder, 'work-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

await buildIfStale(new URL('../../..', import.meta.url));
const { compareLatency } = await import('../../../dist/internals/benches.js');

function pythonOf(peer) {
  if (flags.python) return flags.python;
  const home = join(folder, peer === 'onnxruntime' ? 'ort' : peer);
  const python = join(home, 'bin', 'python');
  if (!existsSync(join(home, 'ready'))) {
    say(`installing ${peers[peer].join(', ')} into ${home}`);
    execFileSync('python3', ['-m', 'venv', home], { stdio: ['ignore', 2, 2] });
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', ...peers[peer]], { stdio: ['ignore', 2, 2] });
    writeFileSync(join(home, 'ready'), '');
  }
  return python;
}

/** A model's file, and those beside it that hold its weights: peers name them after it. */
function filesOf(path) {
  const names = readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path)));
  return names.map((name) => join(dirname(path), name));
}

const sizeOf = (path) => filesOf(path).reduce((sum, file) => sum + statSync(file).size, 0);

/** What one side says of itself: processor seconds in all and of the work, peak memory. */
function runSide(command, args) {
  try {
    const text = execFileSync(command, args, {
      // Some leave files where they stand.
      cwd: work,
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 2 ** 28,
      timeout: 300_000,
    });
    return JSON.parse(text.toString().trim().split('\n').at(-1));
  } catch (error) {
    const lines = String(error.stderr ?? error.message)
      .trim()
      .split('\n');
    return { error: lines.at(-1).slice(0, 160) };
  }
}

const geometric = (values) =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
const versions = {
  maas: JSON.parse(readFileSync(here('../../../package.json'), 'utf8')).version,
  node: process.version,
};
const rows = [];
const rounds = 60;
/** Of a peer that makes the model no smaller: it loses nothing, in no time. */
const leftAlone = 'it left the model as it was';
for (const name of wanted) {
  const spec = all[name];
  const names = recipesOf(spec.kind).filter((recipe) => chosen.includes(recipe));
  if (names.length === 0) continue;
  if (spec.file && name in trained && !flags.data) {
    say(`${name} left out: --data FOLDER with ${spec.file}`);
    continue;
  }
  say(`${name}: ${name in trained ? 'training' : 'fetching'}, unless it is there`);
  const open = name in trained ? openTrained : openCarried;
  const model = await open(name, spec, folder, flags.data);
  const batches = join(work, 'batches.json');
  writeFileSync(batches, writeBatches(model.feeds));
  for (const recipe of names) {
    const [ours, theirs] = [join(work, 'ours.onnx'), join(work, 'theirs.onnx')];
    const known = asked.filter((peer) => recipes[recipe].peers.includes(peer));
    if (known.length === 0) continue;
    const passes = JSON.stringify(recipes[recipe].passes);
    const runOurs = () => {
      const own = runSide(process.execPath, [here('subject.js'), model.path, batches, ours, passes]);
      if (own.error) throw new Error(`${name}, ${recipe}: ${own.error}`);
      return own;
    };
    runOurs();
    const size = sizeOf(ours);
    const fp32 = await compareLatency(model.path, ours, model.requests, { rounds });
    const common = {
      ...{ model: name, recipe, metric: model.metric, metricDelta: await model.loseOf(ours) },
      ...{
        sizeToFloat: size / sizeOf(model.path),
        latencyToFloat: geometric(fp32.map(({ ratio }) => ratio)),
      },
    };
    for (const peer of known) {
      for (const file of filesOf(theirs)) rmSync(file);
      const python = [here('peers.py'), peer, recipe, model.path, batches, theirs];
      const other = runSide(pythonOf(peer), python);
      // Right beside the peer: a machine's speed changes from minute to minute.
      const own = runOurs();
      if (other.version) versions[peer] = other.version;
      let row = { ...common, peerName: peer };
      try {
        if (other.error) throw new Error(other.error);
        const latencies = await compareLatency(theirs, ours, model.requests, { rounds });
        const peerMetricDelta = await model.loseOf(theirs);
        const isSame = peerMetricDelta === 0 && sizeOf(theirs) > 0.99 * sizeOf(model.path);
        const note = isSame ? leftAlone : other.note;
        row = {
          ...row,
          ...(note && { peerNote: note }),
          sizeRatio: size / sizeOf(theirs),
          latencyRatio: geometric(latencies.map(({ ratio }) => ratio)),
          peerMetricDelta,
          timeRatio: own.seconds / other.seconds,
          workRatio: own.work / other.work,
          memoryRatio: own.bytes / other.bytes,
          seconds: [own.seconds, other.seconds],
          workSeconds: [own.work, other.work],
        };
      } catch (error) {
        row = { ...row, peerError: error.message.split('\n')[0] };
      }
      rows.push(row);
      say(`  ${recipe}, ${peer}: ${row.peerError ?? row.peerNote ?? 'done'}`);
    }
  }
}

/** Where we lose: larger, slower, less exact, longer or hungrier by more than what measuring is off by. */
function lossesOf(row) {
  if (row.peerError || row.peerNote === leftAlone) return [];
  const bounds = {
    sizeRatio: 1.02,
    latencyRatio: 1.05,
    timeRatio: 1.05,
    workRatio: 1.05,
    memoryRatio: 1.05,
  };
  const lost = Object.keys(bounds).filter((key) => row[key] > bounds[key]);
  const slack = row.metric === 'logLoss' ? 0.002 : 0.01;
  return row.metricDelta > row.peerMetricDelta + slack ? [...lost, 'metricDelta'] : lost;
}

const machine = { cpu: cpus()[0].model.trim(), cores: cpus().length };
const belowGoal = rows.flatMap((row) => {
  const lost = lossesOf(row).map((key) => `${key} ${row[key].toPrecision(3)}`);
  return lost.length > 0 ? [`${row.model}, ${row.recipe}, ${row.peerName}: ${lost.join(', ')}`] : [];
});
if (flags.json)
  process.stdout.write(`${JSON.stringify({ machine, versions, rows, belowGoal }, undefined, 2)}\n`);
else {
  const short = (value) => (value === undefined ? '—' : value.toPrecision(3));
  const keys = [
    'sizeToFloat',
    'latencyToFloat',
    'sizeRatio',
    'latencyRatio',
    'metricDelta',
    'peerMetricDelta',
    'timeRatio',
    'workRatio',
    'memoryRatio',
  ];
  const table = [
    ['model', 'recipe', 'peer', ...keys],
    ...rows.map((row) => [
      row.model,
      row.recipe,
      row.peerName,
      ...(row.peerError ? [`failed: ${row.peerError.slice(0, 60)}`] : keys.map((key) => short(row[key]))),
    ]),
  ];
  printTable(table);
  for (const { model, recipe, peerName, peerNote } of rows.filter((row) => row.peerNote)) {
    console.log(`\n${model}, ${recipe}, ${peerName}: ${peerNote}`);
  }
  const tools = Object.entries(versions).map((each) => each.join(' '));
  console.log(`\n${machine.cpu}, ${machine.cores} cores; ${tools.join(', ')}`);
  console.log(
    belowGoal.length > 0
      ? `\nA peer is ahead here:\n${belowGoal.join('\n')}`
      : '\nEqual or better in every column.',
  );
}
