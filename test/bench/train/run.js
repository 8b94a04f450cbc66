// `npm run bench:train`: training with the onnx engine against PyTorch and TensorFlow, on the same rows in the same order
// from the same weights. Rounds of all are interleaved in one run; figures are medians. The goal is to be as fast.
//   --json             prints one object instead of a table
//   --python PATH      a Python with torch and numpy; without it a virtual environment is made beside the temporary files
//   --tensorflow PATH  a Python with tensorflow; the same without it
//   --peers NAMES      pytorch,tensorflow by default; tfjs-node is the other engine of maas, on the same graphs
//                      (`maas engines install tfjs-node`, then `npm run bench:engines`)
//   --models mlp,cnn   --threads 1,2   --rounds 5
//   --profile          says instead where the time of a step goes, by operator; with --python of PyTorch's too
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, homedir, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../../../bin/build.js';
import { models, weightsOf } from './models.js';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    python: { type: 'string' },
    tensorflow: { type: 'string' },
    peers: { type: 'string', default: 'pytorch,tensorflow' },
    models: { type: 'string', default: Object.keys(models).join() },
    threads: { type: 'string', default: '1,2' },
    rounds: { type: 'string', default: '5' },
    profile: { type: 'boolean', default: false },
  },
});
const rounds = Number(flags.rounds);
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const say = (text) => process.stderr.write(`${text}\n`);

/** A Python with packages: the one given, or an environment made from PyPI, which stays for the next time. */
function findPython(given, name, packages) {
  if (given) return given;
  const folder = join(tmpdir(), `maas-bench-${name}`);
  const python = join(folder, 'bin', 'python');
  if (!existsSync(join(folder, 'ready'))) {
    say(`installing ${packages[0]} into ${folder}`);
    execFileSync('python3', ['-m', 'venv', folder], { stdio: ['ignore', 2, 2] });
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', ...packages], { stdio: ['ignore', 2, 2] });
    writeFileSync(join(folder, 'ready'), '');
  }
  return python;
}

/** Layers that subject-tensorflow.py builds. */
const ofKeras = new Set(['dense', 'conv', 'pool', 'flatten', 'relu', 'lstm']);

/** A side in Python, which trains with a package from PyPI. */
function inPython(name, given, { package: published, environment, script, trains = () => true }) {
  const python = findPython(given, environment, [published, 'numpy']);
  const ask = `import importlib.metadata as m; print(m.version('${published}'))`;
  const version = execFileSync(python, ['-c', ask], { encoding: 'utf8' }).trim();
  return {
    name,
    versions: { [published]: version },
    trains,
    start: (...args) => start(python, [here(script), ...args]),
  };
}

async function otherEngine() {
  const { findPackage, packageVersion } = await import('../../../dist/internals/benches.js');
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'maas');
  if (findPackage({ root: process.cwd(), cache }) === undefined)
    throw new Error('TensorFlow.js is not here: run `maas engines install tfjs-node`');
  return {
    name: 'tfjs-node',
    versions: { 'tfjs-node': packageVersion },
    trains: () => true,
    start: (...args) => start(process.execPath, [here('subject.js'), ...args, cache]),
  };
}

const findPeer = {
  pytorch: () =>
    inPython('PyTorch', flags.python, { package: 'torch', environment: 'torch', script: 'subject.py' }),
  tensorflow: () =>
    inPython('TensorFlow', flags.tensorflow, {
      package: 'tensorflow-cpu',
      environment: 'tensorflow',
      script: 'subject-tensorflow.py',
      trains: ({ layers }) => layers.every(([kind]) => ofKeras.has(kind)),
    }),
  'tfjs-node': otherEngine,
};

/** Numbers in [-1, 1), the same each time. */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

const size = (dims) => dims.reduce((product, dim) => product * dim, 1);

/** Each class is bright in other pixels, so that there is something to learn. */
function makeImages({ rows, input, classes }, next) {
  const width = size(input);
  const y = Uint8Array.from({ length: rows }, (_, row) => row % classes);
  const x = Float32Array.from(
    { length: rows * width },
    (_, at) => next() + (at % classes === y[Math.floor(at / width)] ? 0.3 : 0),
  );
  return { x, y };
}

/** The word after each word: half of the time the one that its number says, else any. */
function makeWords({ rows, input: [length], vocabulary }, next) {
  const any = () => Math.min(vocabulary - 1, Math.floor(((next() + 1) / 2) * vocabulary));
  const [x, y] = [new Uint8Array(rows * length), new Uint8Array(rows * length)];
  for (let at = 0; at < x.length; at++) {
    x[at] = at % length === 0 ? any() : y[at - 1];
    y[at] = next() < 0 ? (x[at] * 7 + 3) % vocabulary : any();
  }
  return { x, y };
}

/** Writes what both sides start from. */
async function writeInputs(folder, spec) {
  const { shuffledRows } = await import('../../../dist/internals/benches.js');
  const next = randomNumbers(7);
  const { x, y } = spec.vocabulary ? makeWords(spec, next) : makeImages(spec, next);
  const weights = weightsOf(spec).map(({ dims, scale }) =>
    Float32Array.from({ length: size(dims) }, () => (scale === 'one' ? 1 : next() * scale)),
  );
  const orders = Array.from({ length: spec.epochs }, (_, epoch) => shuffledRows(spec.rows, 7, epoch));
  const bytes = (arrays) => Buffer.concat(arrays.map(({ buffer }) => new Uint8Array(buffer)));
  writeFileSync(join(folder, 'spec.json'), JSON.stringify({ ...spec, seed: 7 }));
  writeFileSync(join(folder, 'x.bin'), bytes([x]));
  writeFileSync(join(folder, 'y.bin'), y);
  writeFileSync(join(folder, 'weights.bin'), bytes(weights));
  writeFileSync(join(folder, 'orders.bin'), bytes(orders));
}

/** A process that trains whenever it is asked to. */
function start(command, args) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(what) {
      child.stdin.write(`${what}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`${command} ${args.join(' ')} ended early`);
      return JSON.parse(value);
    },
    end: () => child.stdin.end('end\n'),
  };
}

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

async function compare(name, threads, all) {
  const spec = models[name];
  const peers = all.filter(({ trains }) => trains(spec));
  const folder = mkdtempSync(join(tmpdir(), 'maas-bench-train-'));
  const sides = [];
  try {
    await writeInputs(folder, spec);
    sides.push(start(process.execPath, [here('subject.js'), folder, String(threads)]));
    for (const peer of peers) sides.push(peer.start(folder, String(threads)));
    const found = sides.map(() => []);
    // The first round warms up.
    for (let round = -1; round < rounds; round++) {
      for (const [at, side] of sides.entries()) {
        const figures = await side.ask('train');
        if (round >= 0) found[at].push(figures);
      }
    }
    const [ours, ...others] = found;
    return peers.flatMap((peer, at) => rowsOf({ name, spec, threads, peer }, ours, others[at]));
  } finally {
    for (const side of sides) side.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

function rowsOf({ name, spec, threads, peer }, ours, theirs) {
  const apart = Math.abs(ours[0].loss - theirs[0].loss);
  if (!(apart < 1e-2)) {
    throw new Error(`${name}: the losses differ: ${ours[0].loss}, and ${theirs[0].loss} of ${peer.name}`);
  }
  const samples = spec.rows * spec.epochs;
  const memoryRatio = Math.max(...ours.map(peakOf)) / Math.max(...theirs.map(peakOf));
  return [
    ['samples/s', 'seconds'],
    ['samples/CPU s', 'cpuSeconds'],
  ].map(([unit, key]) => ({
    model: name,
    threads,
    ours: samples / median(ours.map((figures) => figures[key])),
    peer: samples / median(theirs.map((figures) => figures[key])),
    peerName: peer.name,
    unit,
    // Rounds that lie side by side met the same machine.
    ratio: median(ours.map((figures, round) => theirs[round][key] / figures[key])),
    memoryRatio,
  }));
}

const peakOf = ({ peakBytes }) => peakBytes;

async function profile(name, threads) {
  const folder = mkdtempSync(join(tmpdir(), 'maas-bench-train-'));
  const sides = [['maas', process.execPath, 'subject.js']];
  if (flags.python) sides.push(['PyTorch', flags.python, 'subject.py']);
  const found = [];
  try {
    await writeInputs(folder, models[name]);
    for (const [of, command, script] of sides) {
      const side = start(command, [here(script), folder, String(threads)]);
      found.push({ model: name, threads, of, operators: await side.ask('profile') });
      side.end();
    }
    return found;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function showProfiles(cases) {
  const profiles = [];
  for (const { name, threads } of cases) profiles.push(...(await profile(name, threads)));
  if (flags.json) return console.log(JSON.stringify({ profiles }));
  for (const { model, threads, of, operators } of profiles) {
    const total = operators.reduce((sum, { ms }) => sum + ms, 0);
    console.log(`${model}, threads ${threads}, ${of}: ${total.toFixed(2)} ms a step`);
    for (const { operator, ms, share, nodes } of operators.slice(0, 15)) {
      const figures = [ms.toFixed(2).padStart(9), `${(share * 100).toFixed(1)} %`.padStart(8)];
      console.log(`${figures.join(' ')} ${String(nodes).padStart(5)} × ${operator}`);
    }
  }
}

await buildIfStale(new URL('../../..', import.meta.url));
const cases = flags.models
  .split(',')
  .flatMap((name) => flags.threads.split(',').map((threads) => ({ name, threads: Number(threads) })));
if (flags.profile) {
  await showProfiles(cases);
  process.exit();
}
const wanted = flags.peers.split(',');
const unknown = wanted.find((name) => !Object.hasOwn(findPeer, name));
if (unknown !== undefined)
  throw new Error(`--peers knows ${Object.keys(findPeer).join(', ')}, not ${unknown}`);
const peers = [];
for (const name of wanted) peers.push(await findPeer[name]());
const { runtimeVersion } = await import('../../../dist/internals/benches.js');
const rows = [];
for (const { name, threads } of cases) {
  say(`${name}, ${threads} thread${threads === 1 ? '' : 's'}`);
  rows.push(...(await compare(name, threads, peers)));
}
const report = {
  machine: { cpu: cpus()[0].model, cores: cpus().length, load: loadavg()[0] },
  versions: {
    node: process.version,
    'onnxruntime-node': runtimeVersion(),
    ...Object.assign({}, ...peers.map(({ versions }) => versions)),
  },
  rows,
};
if (flags.json) console.log(JSON.stringify(report));
else showRows(report);

function showRows({ machine, versions, rows }) {
  console.log(`${machine.cpu}, ${machine.cores} cores, load ${machine.load.toFixed(1)}`);
  console.log(
    Object.entries(versions)
      .map((entry) => entry.join(' '))
      .join(', '),
  );
  console.log('ratio: maas ÷ peer, above 1 is faster; memory: peak, maas ÷ peer, below 1 is less');
  console.log(
    `${'model'.padEnd(10)} threads ${'maas'.padStart(9)} ${'peer'.padStart(9)} unit           ratio memory peer`,
  );
  for (const { model, threads, ours, peer, peerName, unit, ratio, memoryRatio } of rows) {
    const figures = [ours, peer].map((value) => value.toFixed(0).padStart(9)).join(' ');
    const ratios = [ratio, memoryRatio].map((value) => value.toFixed(2).padStart(6)).join(' ');
    const short = [ratio < 1 && 'slower than the goal', memoryRatio > 1 && 'more memory than the goal'];
    const note = short.filter(Boolean).join(', ');
    console.log(
      `${model.padEnd(10)} ${String(threads).padEnd(7)} ${figures} ${unit.padEnd(13)} ${ratios} ${peerName.padEnd(10)} ${note}`.trimEnd(),
    );
  }
}
