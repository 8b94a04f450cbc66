// `npm run bench:accuracy`: figures on held-out rows of real data, next to PyTorch and scikit-learn with the same layers,
// optimizer, epochs and batches, on the same rows after the same scaling and filling of gaps. Each seed splits anew.
//   --json             prints one object instead of a table
//   --python PATH      a Python with torch and scikit-learn; without it a virtual environment is made from PyPI
//   --data FOLDER      where penguins.csv and titanic.csv (of mwaskom/seaborn-data), tinyshakespeare.txt (of karpathy/char-rnn)
//                      and intents.csv (of tensorflow/tfjs-examples) lie; without it they are left out
//   --only iris,wine   --seeds 5
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../../../bin/build.js';
import { dataOf, presetOf, subjects } from './subjects.js';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    python: { type: 'string' },
    data: { type: 'string' },
    only: { type: 'string' },
    seeds: { type: 'string', default: '5' },
  },
});
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const say = (text) => process.stderr.write(`${text}\n`);

function findPython() {
  if (flags.python) return flags.python;
  const folder = join(tmpdir(), 'maas-bench-accuracy');
  const python = join(folder, 'bin', 'python');
  if (!existsSync(join(folder, 'ready'))) {
    say(`installing PyTorch and scikit-learn into ${folder}`);
    const stdio = ['ignore', 2, 2];
    execFileSync('python3', ['-m', 'venv', folder], { stdio });
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', 'torch', 'numpy', 'scikit-learn'], { stdio });
    writeFileSync(join(folder, 'ready'), '');
  }
  return python;
}

await buildIfStale(new URL('../../..', import.meta.url));
const { GraphBuilder, dataSchema, emitFeatures, encodeModel, featureOpsets, loadDataset, openSession } =
  await import('../../../dist/internals/benches.js');

/** Writes the rows as maas's own graph hands them to the first layer, so that all sides start from the same numbers. */
async function writeRows(folder, spec, seed) {
  const options = { root: folder, seed, name: 'bench' };
  const dataset = await loadDataset(dataSchema.parse(dataOf(spec)), options);
  const { signature, splits } = dataset;
  const g = new GraphBuilder();
  for (const { name, dtype, shape } of signature.inputs) g.input(name, dtype, shape);
  g.output(emitFeatures(g, dataset), 'x');
  const model = { irVersion: 10, opsets: featureOpsets, producer: 'bench', graph: g.build(), metadata: {} };
  const session = await openSession(encodeModel(model));
  let width;
  for (const split of ['train', 'test']) {
    const { inputs, target } = splits[split];
    const { x } = await session.run(inputs);
    width = x.dims[1];
    writeFileSync(join(folder, `${split}.x`), x.data);
    writeFileSync(join(folder, `${split}.y`), target.data);
  }
  await session.close();
  return { width, classes: signature.target.labels?.length ?? 0 };
}

/** Trains through the command, as a user does. */
function trainOurs(folder, spec, seed) {
  const { epochs, batchSize, learningRate } = spec;
  const train = {
    ...{ model: { preset: presetOf(spec) }, optimizer: { adam: { learningRate } } },
    ...{ epochs, batchSize },
  };
  // JSON is YAML.
  const config = JSON.stringify({ name: 'bench', seed, data: dataOf(spec), train });
  writeFileSync(join(folder, 'maas.config.yaml'), config);
  const command = [here('../../../bin/run.js'), 'train', '--json', '--quiet'];
  const found = JSON.parse(execFileSync(process.execPath, command, { cwd: folder, encoding: 'utf8' }));
  return found.metrics[spec.metric];
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const deviation = (values) =>
  Math.sqrt(values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length - 1 || 1));
const summary = (values) => ({ mean: mean(values), sd: deviation(values) });

const python = findPython();
const root = mkdtempSync(join(tmpdir(), 'maas-bench-accuracy-'));
const peers = spawn(python, [here('peers.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
const answers = createInterface({ input: peers.stdout })[Symbol.asyncIterator]();
const rows = [];
try {
  const data = join(root, 'data');
  mkdirSync(data);
  execFileSync(python, [here('write-data.py'), data], { stdio: ['ignore', 2, 2] });
  for (const name of flags.only?.split(',') ?? Object.keys(subjects)) {
    const spec = subjects[name];
    if (!spec) throw new Error(`no subject "${name}": there are ${Object.keys(subjects).join(', ')}`);
    if (spec.given && !flags.data) {
      say(`${name}: left out, for want of --data FOLDER`);
      continue;
    }
    say(name);
    const ours = [];
    const theirs = {};
    for (let seed = 1; seed <= Number(flags.seeds); seed++) {
      const folder = mkdtempSync(join(root, 'run-'));
      copyFileSync(join(spec.given ? flags.data : data, spec.source), join(folder, spec.source));
      const order = { spec, seed, folder, ...(await writeRows(folder, spec, seed)) };
      ours.push(trainOurs(folder, spec, seed));
      peers.stdin.write(`${JSON.stringify(order)}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error('the peers ended early');
      for (const [peer, figure] of Object.entries(JSON.parse(value))) (theirs[peer] ??= []).push(figure);
    }
    for (const [peerName, figures] of Object.entries(theirs)) {
      const differences = ours.map((figure, at) => figure - figures[at]);
      rows.push({
        ...{ model: name, metric: spec.metric, seeds: ours.length },
        ...{ ours: summary(ours), peer: summary(figures), peerName, difference: summary(differences) },
      });
    }
  }
} finally {
  peers.stdin.end();
  rmSync(root, { recursive: true, force: true });
}
const versions = JSON.parse(
  execFileSync(
    python,
    [
      '-c',
      'import json, torch, sklearn; print(json.dumps({"torch": torch.__version__, "scikit-learn": sklearn.__version__}))',
    ],
    { encoding: 'utf8' },
  ),
);
const report = { machine: { cpu: cpus()[0].model }, versions: { node: process.version, ...versions }, rows };
if (flags.json) console.log(JSON.stringify(report));
else {
  console.log(
    'test split, mean ± standard deviation over seeds; difference: maas less the peer, seed by seed',
  );
  const show = ({ mean, sd }) => `${mean.toFixed(4).padStart(7)} ± ${sd.toFixed(4)}`;
  for (const { model, metric, ours, peer, peerName, difference } of rows) {
    console.log(
      `${model.padEnd(14)} ${metric.padEnd(9)} maas ${show(ours)}  ${peerName.padEnd(12)} ${show(peer)}  difference ${show(difference)}`,
    );
  }
}
