// `npm run bench:compress-training`: what the passes that train are worth, on the images of the template, each seed with
// another split and other first weights. All through the command, as a user does.
//   qat      int8 with one scale for each tensor of a depthwise net: calibrated, and trained with the rounding in place
//   distill  60 images with a label, 220 without: a student trained on the labels alone (alpha 0), as many updates as the same student
//            has that is taught by the model, on all of them
//   --json   prints one object instead of a table
//   --seeds 5   --only qat,distill
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
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

const images = here('../../../templates/image-classifier/images');
const data = {
  source: images,
  target: 'digit',
  images: { size: [16, 16], colorMode: 'grayscale' },
  split: { train: 0.4, validation: 0.1, test: 0.5 },
};
const perTensor = { minElements: 1, perChannel: false };
/** Images that have a label to train on, to validate with, and to test with; the others have none. */
const labelled = { train: 60, validation: 20, test: 300 };
const all = Object.values(labelled).reduce((sum, count) => sum + count, 0);
const few = {
  source: 'rows.csv',
  target: 'digit',
  types: { file: 'image' },
  images: data.images,
  missing: { target: 'drop' },
  split: {
    ...Object.fromEntries(Object.entries(labelled).map(([split, count]) => [split, count / all])),
    time: 'order',
  },
};
const lesson = {
  student: { layers: [{ flatten: {} }, { dense: { units: 16, activation: 'relu' } }, { dense: {} }] },
  learningRate: 0.003,
};
/** Updates are as many, whether there are 60 rows or 280. */
const epochs = { few: 140, all: 30 };
const subjects = {
  qat: {
    train: {
      model: { preset: { mobilenet: { filters: [32, 64, 128], blocks: 1 } } },
      epochs: 8,
      learningRate: 0.003,
    },
    without: { quantize: perTensor },
    with: { qat: { ...perTensor, epochs: 4, learningRate: 0.001 } },
    data: () => data,
  },
  distill: {
    train: {
      model: { preset: { cnn: { filters: [32, 64], units: [64] } } },
      epochs: 30,
      learningRate: 0.002,
    },
    without: { distill: { ...lesson, epochs: epochs.few, alpha: 0 } },
    with: { distill: { ...lesson, epochs: epochs.all, unlabelled: true } },
    data: writeFew,
  },
};

/** A table of images in an order that the seed gives; the split goes by it. */
function writeFew(folder, seed) {
  let state = seed * 7919;
  const draw = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const rows = readdirSync(images).flatMap((digit) =>
    readdirSync(join(images, digit)).map((name) => ({
      file: join(images, digit, name),
      digit,
      place: draw(),
    })),
  );
  rows.sort((one, other) => one.place - other.place);
  const lines = rows.map(({ file, digit }, at) => {
    const isKnown = at < labelled.train + labelled.validation || at >= rows.length - labelled.test;
    return `${file},${isKnown ? `digit ${digit}` : ''},${at}`;
  });
  writeFileSync(join(folder, 'rows.csv'), ['file,digit,order', ...lines].join('\n'));
  return few;
}

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
  const { train, data: prepare, ...passes } = subjects[name];
  const { learningRate, ...fit } = train;
  const folder = mkdtempSync(join(tmpdir(), 'maas-bench-'));
  const rows = prepare(folder, seed);
  const write = (pass) =>
    writeFileSync(
      join(folder, 'maas.config.yaml'),
      JSON.stringify({
        ...{
          name,
          seed,
          data: rows,
          train: { ...fit, batchSize: 32, optimizer: { adam: { learningRate } } },
        },
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

/** Of the mean of paired differences. */
const standardError = (values) => {
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1) / values.length);
};
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
  const gains = seeds.map((row) => row.with.accuracy - row.without.accuracy);
  const better = gains.filter((gain) => gain > 0).length;
  const gain = { mean: mean(gains), error: standardError(gains) };
  return { name, ...means, gain, better, seeds };
});
if (flags.json) {
  const machine = { cpu: cpus()[0].model, cores: cpus().length, node: process.version };
  process.stdout.write(`${JSON.stringify({ machine, rows: results }, undefined, 2)}\n`);
} else {
  for (const { name, before, without, with: taught, gain, better, seeds } of results) {
    const points = [gain.mean, gain.error].map((share) => (share * 100).toFixed(2));
    const show = ({ accuracy, logLoss }) => `${accuracy.toFixed(4)} (log loss ${logLoss.toFixed(4)})`;
    process.stdout.write(
      `${name}: model ${show(before)}, without ${show(without)}, with ${show(taught)}; better on ${better} of ${seeds.length} seeds, by ${points.join(' ± ')} points\n`,
    );
  }
}
