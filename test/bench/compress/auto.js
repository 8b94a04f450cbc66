// `npm run bench:auto`: what `compress: auto` makes of small models that maas trains here, with fixed seeds: sizes and times as a share of
// those before, what is lost on the test rows, which recipe was chosen, and how long the search took. “At most” is how much faster a
// model could be that does nothing at all with the same inputs: the rest is the runtime's own time for a call.
//   --json             prints one object instead of a table
//   --data FOLDER      where intents.csv and tinyshakespeare.txt lie; without it the models of text are left out
//   --only iris,gpt    --goals latency,size    --folder FOLDER for the projects, which stay, and are trained once
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../../../bin/build.js';
import { trained } from './models.js';
import { printTable } from './print-table.js';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    data: { type: 'string' },
    only: { type: 'string' },
    goals: { type: 'string', default: 'latency,size' },
    folder: { type: 'string', default: join(tmpdir(), 'maas-bench-auto') },
  },
});
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
await buildIfStale(new URL('../../..', import.meta.url));

const iris = here('../../../templates/tabular-classifier/data');
/** The template's table, and the models of the other benches. */
const models = {
  iris: {
    folder: iris,
    data: { source: 'data/iris.csv', target: 'species', split: { train: 0.6, validation: 0.2, test: 0.2 } },
    train: {
      model: { preset: { mlp: { units: [256, 256] } } },
      ...{ epochs: 50, batchSize: 16, optimizer: { adam: { learningRate: 0.002 } } },
    },
  },
  'digits mlp': trained.mlp,
  cnn: {
    data: { ...trained.mlp.data, images: { size: [16, 16], colorMode: 'grayscale' } },
    train: {
      model: { preset: { cnn: { filters: [32, 64], units: [128] } } },
      ...{ epochs: 8, batchSize: 32, optimizer: { adam: { learningRate: 0.002 } } },
    },
  },
  bert: trained.bert,
  gpt: trained.gpt,
};

function maas(root, ...args) {
  const command = [here('../../../bin/run.js'), ...args, '--json', '--quiet'];
  return JSON.parse(
    execFileSync(process.execPath, command, {
      cwd: root,
      maxBuffer: 2 ** 28,
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
}

/** The time of a call that does nothing, as a share of that of the model, for 1 row and 64. */
async function measureFloor(root, artifact, data) {
  const { GraphBuilder, compareLatency, dataSchema, encodeModel, loadDataset, requestsOf } =
    await import('../../../dist/internals/benches.js');
  const { signature, splits } = await loadDataset(dataSchema.parse(data), { root, seed: 1, name: 'bench' });
  const g = new GraphBuilder('nothing');
  for (const { name, dtype, shape } of signature.inputs) g.input(name, dtype, shape);
  g.output(g.op('Identity', [signature.inputs[0].name]), 'same');
  const nothing = { irVersion: 10, opsets: { '': 21 }, producer: 'bench', graph: g.build(), metadata: {} };
  const latencies = await compareLatency(
    join(artifact, 'model.onnx'),
    encodeModel(nothing),
    requestsOf(splits.test),
  );
  return Object.fromEntries(latencies.map(({ batch, ratio }) => [batch, ratio]));
}

const rows = [];
const floors = {};
for (const name of flags.only?.split(',') ?? Object.keys(models)) {
  const { file, folder, data, train } = models[name];
  if (file && !flags.data) {
    process.stderr.write(`${name} left out: --data FOLDER with ${file}\n`);
    continue;
  }
  const root = join(resolve(flags.folder), name.replaceAll(' ', '-'));
  mkdirSync(root, { recursive: true });
  if (file) copyFileSync(join(resolve(flags.data), file), join(root, file));
  if (folder) cpSync(folder, join(root, 'data'), { recursive: true });
  for (const goal of flags.goals.split(',')) {
    // Half a point, which is less than one row of a small test split.
    const gates = { accuracy: { maxDrop: 0.005 }, latency: { maxRatio: goal === 'size' ? 1.5 : 1 } };
    const config = {
      name: name.replaceAll(' ', '-'),
      seed: 1,
      data,
      train,
      compress: { auto: { goal }, gates },
    };
    writeFileSync(join(root, 'maas.config.yaml'), JSON.stringify(config));
    process.stderr.write(`${name}, ${goal}: training unless it is there, then auto\n`);
    const { artifact } = maas(root, 'train');
    let result;
    try {
      result = maas(root, 'compress', '--force');
    } catch (error) {
      process.stderr.write(`${name}, ${goal}: ${error.message}\n`);
      continue;
    }
    const { metrics, measured, seconds } = result;
    floors[name] ??= await measureFloor(root, artifact, data);
    const { before } = metrics;
    rows.push({
      ...{ model: name, goal, chosen: measured.auto.chosen, sizeRatio: metrics.sizeRatio },
      latency: Object.fromEntries(measured.latency.map(({ batch, ratio }) => [batch, ratio])),
      floor: floors[name],
      accuracyDrop: before.accuracy - metrics.accuracy,
      crossEntropyChange: metrics.logLoss - before.logLoss,
      seconds,
      front: measured.auto.tried.filter(({ front }) => front),
    });
  }
}

const machine = { cpu: cpus()[0].model.trim(), cores: cpus().length };
if (flags.json) process.stdout.write(`${JSON.stringify({ machine, rows }, undefined, 2)}\n`);
else {
  const times = (ratio) => (ratio === undefined ? '—' : `${(1 / ratio).toFixed(2)} ×`);
  const table = [
    [
      'model',
      'goal',
      'smaller',
      'faster, 1 row',
      'at most',
      '64 rows',
      'at most',
      'accuracy lost',
      'ΔCE',
      'search',
      'chosen',
    ],
    ...rows.map((row) => [
      row.model,
      row.goal,
      times(row.sizeRatio),
      times(row.latency[1]),
      times(row.floor[1]),
      times(row.latency[64]),
      times(row.floor[64]),
      `${(row.accuracyDrop * 100).toFixed(2)} points`,
      row.crossEntropyChange.toFixed(4),
      `${row.seconds.toFixed(0)} s`,
      row.chosen,
    ]),
  ];
  printTable(table);
  console.log(`\n${machine.cpu}, ${machine.cores} cores`);
}
