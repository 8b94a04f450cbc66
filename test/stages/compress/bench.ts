import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Listr } from 'listr2';
import { onTestFinished } from 'vitest';
import { z } from 'zod';
import { openStore } from '../../../src/artifacts/index.js';
import { dataSchema, loadDataset, type DataConfig } from '../../../src/data/index.js';
import { predict } from '../../../src/evaluate/index.js';
import type { Model } from '../../../src/ir/graph.js';
import { tensor } from '../../../src/ir/tensor.js';
import { encodeModel, saveModel } from '../../../src/ir/onnx/save.js';
import type { ProgressEvent } from '../../../src/plugin/events.js';
import { definePass, defineStage, type Pass, type Registry } from '../../../src/plugin/api.js';
import { compressOptions } from '../../../src/stages/compress/config.js';
import {
  cleanupPasses,
  equalizeLayersPass,
  compressStage,
  createDistillPass,
  foldPass,
  prunePass,
  pruneUnitsPass,
  qatPass,
  quantizeEmbeddingsPass,
  quantizePass,
  smoothQuantPass,
  storeBytesPass,
  storeHalvesPass,
} from '../../../src/stages/compress/index.js';
import { onnxEngine } from '../../../src/stages/train/index.js';
import { students } from '../../../src/stages/students.js';
import { createRunner, type Outcome } from '../../../src/stages/runner.js';
import { classes, flowers, noise, signatureOf, tableOf } from '../../evaluate/models.js';

/** A pass that rewrites the model by `rewrite`, as a third party's might. */
export function passOf(name: string, rewrite: (model: Model) => Model): Pass {
  return definePass<Record<string, never>>({
    name,
    summary: `${name} the model`,
    options: z.strictObject({}),
    version: 1,
    run: (model) =>
      Promise.resolve({
        model: rewrite(model),
        report: { changed: true, applied: [{ node: 'dense1', note: name }], skipped: [] },
      }),
  });
}

/** The model with weights times what a function has for their places. */
export function scaleWeights(model: Model, factors: Readonly<Record<string, (at: number) => number>>): Model {
  const initializers = new Map(model.graph.initializers);
  for (const [name, factorOf] of Object.entries(factors)) {
    const { dims, data } = initializers.get(name)!;
    const values = new Float32Array((data as Uint8Array).slice().buffer);
    initializers.set(
      name,
      tensor(
        'float32',
        dims,
        values.map((value, at) => value * factorOf(at)),
      ),
    );
  }
  return { ...model, graph: { ...model.graph, initializers } };
}

const columns = ['sepal_length', 'sepal_width', 'petal_length', 'petal_width'];

/**
 * Rows whose target is what `model` says of them: labels but for rows it is in doubt of, values with noise that no
 * model can know.
 */
async function writeRows(path: string, model: Model, task: 'classification' | 'regression'): Promise<void> {
  const rows = 600;
  const features = flowers(rows);
  const blank = tableOf({ features }, classes(new Array<number>(rows).fill(0)));
  const { labels, values } = await predict(encodeModel(model), blank, signatureOf(task));
  const random = noise(5);
  const lines = Array.from({ length: rows }, (_, row) => {
    const cells = Array.from(features.data.subarray(row * 4, row * 4 + 4));
    if (task === 'regression') return [...cells, values[row]! + random()].join();
    const sorted = Array.from(values.subarray(row * 3, row * 3 + 3)).sort((a, b) => b - a);
    return sorted[0]! - sorted[1]! < 0.2 ? '' : [...cells, labels[row]!].join();
  });
  await writeFile(path, [`${columns.join()},species`, ...lines.filter(Boolean)].join('\n'));
}

export interface CompressBench {
  readonly root: string;
  readonly dataFile: string;
  /** Runs train (whose model is the given one) and compress with this config section. */
  run(compress: unknown): Promise<Outcome[]>;
  /** Digest that the stage's pointer has. */
  current(stage: string): Promise<string | undefined>;
  /** Runs compress alone. */
  compress(section: unknown): Promise<Outcome[]>;
  /** The same, stopped when a pass that trains has told so many times how far it is. */
  interrupt(section: unknown, reports: number): Promise<Outcome[]>;
}

/** A project on disk whose train stage hands on `model`. */
export async function makeCompressBench(
  model: Model,
  task: 'classification' | 'regression' = 'classification',
  passes: readonly Pass[] = [],
): Promise<CompressBench> {
  const root = await mkdtemp(join(tmpdir(), 'maas-compress-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  await mkdir(join(root, 'data'));
  const dataFile = join(root, 'data', 'rows.csv');
  await writeRows(dataFile, model, task);
  const data: DataConfig = dataSchema.parse({ source: 'data/rows.csv', target: 'species', task });
  const train = defineStage<unknown>({
    name: 'train',
    summary: 'hand on the model',
    options: () => z.unknown(),
    reads: [],
    writes: 'model',
    version: 1,
    tasks: ({ project, out }) => [
      {
        title: 'write',
        task: async () => {
          const { signature } = await loadDataset(data, { root, seed: project.seed, name: project.name });
          await saveModel(model, join(out, 'model.onnx'));
          await writeFile(join(out, 'signature.json'), JSON.stringify(signature));
        },
      },
    ],
  });
  const all = [
    foldPass,
    prunePass,
    pruneUnitsPass,
    quantizePass,
    qatPass,
    createDistillPass(students),
    quantizeEmbeddingsPass,
    storeBytesPass,
    storeHalvesPass,
    smoothQuantPass,
    equalizeLayersPass,
    ...cleanupPasses,
    ...passes,
  ].map((pass) => [pass.name, pass] as const);
  const registry: Registry = {
    stages: [train, compressStage],
    engines: new Map([[onnxEngine.name, onnxEngine]]),
    passes: new Map(all),
    targets: new Map(),
    protocols: new Map(),
    services: new Map(),
  };
  const store = openStore(join(root, '.maas'));
  const run = async (stages: string[], section: unknown, reports = Infinity): Promise<Outcome[]> => {
    const compress = compressOptions(registry).parse(section);
    const project = {
      name: 'iris',
      seed: 7,
      root,
      configFile: join(root, 'maas.config.yaml'),
      config: { data, train: {}, compress },
    };
    const controller = new AbortController();
    let seen = 0;
    const emit = ({ event }: ProgressEvent): void => {
      if (event === 'train-progress' && ++seen === reports) controller.abort();
    };
    const runner = createRunner({ project, registry, store, signal: controller.signal, emit });
    await new Listr(runner.tasks(stages, { force: false }), { renderer: 'silent' }).run();
    return [...runner.outcomes];
  };
  return {
    root,
    dataFile,
    run: (section) => run(['train', 'compress'], section),
    compress: (section) => run(['compress'], section),
    interrupt: (section, reports) => run(['compress'], section, reports),
    current: async (stage) => (await store.current(stage))?.digest,
  };
}
