// `npm run bench:compress-training`: what the passes that train are worth, on the images of the template, each seed with
// another split and other first weights. All through the command, as a user does.
//   qat      int8 with one scale for each tensor of a depthwise net: calibrated, and trained with the rounding in place
//   distill  a student trained on labels alone (alpha 0), and the same student taught by the model
//   --json   prints one object instead of a table
//   --seeds 5   --only qat,distill
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../../../bin/build.js';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    seeds: { type: 'string', default: '5' },
    only: { type: 'string', default: 'qat,distill' },
  },
});
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const say = (text) => process.stderr.write(`${text}\n`);

const data = {
  source: here('../../../templates/image-classifier/images'),
  target: 'digit',
  images: { size: [16, 16], colorMode: 'grayscale' },
  split: { train: 0.4, validation: 0.1, test: 0.5 },
};
const perTensor = { minElements: 1, perChannel: false };
const lesson = {
  student: { layers: [{ flatten: {} }, { dense: { units: 12, activation: 'relu' } }, { dense: {} }] },
  ...{ epochs: 30, learningRate: 0.003 },
};
const subjects = {
  qat: {
    train: {
      model: { preset: { mobilenet: { filters: [32, 64, 128], blocks: 1 } } },
      epochs: 8,
      learningRate: 0.003,
    },
    without: { quantize: perTensor },
    with: { qat: { ...perTensor, epochs: 4, learningRate: 0.001 } },
  },
  distill: {
    train: {
      model: { preset: { cnn: { filters: [32, 64], units: [64] } } },
      epochs: 15,
      learningRate: 0.002,
    },
    without: { distill: { ...lesson, alpha: 0 } },
    with: { distill: { ...lesson, alpha: 0.9, temperature: 4 } },
  },
};

await buildIfStale(new URL('../../..', import.meta.url));
const maas = (folder, ...words) =>
  JSON.parse(
    execFileSync(process.execPath, [here('../../../bin/run.js'), ...words, '--json', '--quiet'], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );

function run(name, seed) {
  const { train, ...passes } = subjects[name];
  const { learningRate, ...fit } = train;
  const folder = mkdtempSync(join(tmpdir(), 'maas-bench-'));
  const write = (pass) =>
    writeFileSync(
      join(folder, 'maas.config.yaml'),
      JSON.stringify({
        ...{ name, seed, data, train: { ...fit, batchSize: 32, optimizer: { adam: { learningRate } } } },
        compress: {
          passes: [pass],
          gates: { accuracy: { maxDrop: 1 }, size: { maxRatio: 10 }, latency: { maxRatio: 100 } },
        },
      }),
    );
  try {
    write(passes.without);
    maas(folder, 'train');
    const [without, taught] = [passes.without, passes.with].map((pass) => {
      write(pass);
      return maas(folder, 'compress').metrics;
    });
    const figures = ({ accuracy, logLoss, sizeRatio, agreement }) => ({
      accuracy,
      logLoss,
      sizeRatio,
      agreement,
    });
    const row = { seed, before: figures(without.before), without: figures(without), with: figures(taught) };
    say(
      `${name}, seed ${seed}: ${without.before.accuracy} → ${without.accuracy}, ${taught.accuracy} trained`,
    );
    return row;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const results = flags.only.split(',').map((name) => {
  const seeds = Array.from({ length: Number(flags.seeds) }, (_, at) => run(name, at + 1));
  const means = Object.fromEntries(
    ['before', 'without', 'with'].map((side) => [
      side,
      Object.fromEntries(
        ['accuracy', 'logLoss'].map((figure) => [figure, mean(seeds.map((row) => row[side][figure]))]),
      ),
    ]),
  );
  const better = seeds.filter((row) => row.with.accuracy > row.without.accuracy).length;
  return { name, ...means, better, seeds };
});
if (flags.json) {
  const machine = { cpu: cpus()[0].model, cores: cpus().length, node: process.version };
  process.stdout.write(`${JSON.stringify({ machine, rows: results }, undefined, 2)}\n`);
} else {
  for (const { name, before, without, with: taught, better, seeds } of results) {
    const show = ({ accuracy, logLoss }) => `${accuracy.toFixed(4)} (log loss ${logLoss.toFixed(4)})`;
    process.stdout.write(
      `${name}: model ${show(before)}, without ${show(without)}, with ${show(taught)}; better on ${better} of ${seeds.length} seeds\n`,
    );
  }
}
