import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { Listr } from 'listr2';
import { openStore } from '../../../src/artifacts/index.js';
import { dataSchema } from '../../../src/data/index.js';
import { defineEngine, type Engine, type StageRun } from '../../../src/plugin/api.js';
import type { ProgressEvent } from '../../../src/plugin/events.js';
import { createRegistry } from '../../../src/plugin/registry.js';
import { onnxEngine, trainStage, type TrainOptions } from '../../../src/stages/train/index.js';

export const iris = new URL('../../../templates/tabular-classifier/data/', import.meta.url).pathname;

const idle: Engine = defineEngine({
  name: 'idle',
  summary: 'gives the model back as it is',
  train: ({ model }) => Promise.resolve({ model, history: [], notes: ['did nothing'] }),
});
const absent: Engine = defineEngine({
  name: 'absent',
  summary: 'is not there',
  unavailable: () => Promise.resolve({ reason: 'no library', hint: 'Install the library.' }),
  train: () => Promise.reject(new Error('not to be called')),
});
export const registry = createRegistry([
  { plugin: 'maas-cli', registration: { apiVersion: 1, engines: [onnxEngine, idle, absent] } },
]);

export interface Setup {
  readonly data?: Record<string, unknown>;
  readonly train?: Record<string, unknown>;
  readonly folder?: string;
  readonly seed?: number;
}

/** Runs the stage's tasks as the runner would; what it writes goes into folders below `root`. */
export async function trainIn(
  root: string,
  { data = {}, train: section = {}, folder = iris, seed = 5 }: Setup = {},
) {
  const out = await mkdtemp(join(root, 'out-'));
  const work = `${out}.work`;
  await mkdir(work);
  const config: Record<string, unknown> = {
    data: dataSchema.parse({ source: 'iris.csv', target: 'species', ...data }),
    train: trainStage.options(registry).parse({
      model: { layers: [{ dense: { units: 32, activation: 'tanh' } }, 'dense'] },
      optimizer: { adam: { learningRate: 0.01 } },
      epochs: 40,
      ...section,
    }),
  };
  const events: ProgressEvent[] = [];
  const run: StageRun<TrainOptions> = {
    project: { name: 'flowers', seed, root: folder, configFile: join(folder, 'maas.config.yaml'), config },
    options: config['train'] as TrainOptions,
    registry,
    store: openStore(join(root, '.maas')),
    inputs: {},
    signal: new AbortController().signal,
    emit: (event) => events.push(event),
    out,
    work,
    result: { metrics: {}, measured: {}, notes: [] },
  };
  const titles: string[] = [];
  const tasks = trainStage.tasks(run);
  await new Listr(
    tasks.map((task) => ({
      ...task,
      task: async (context: unknown, wrapper: Parameters<typeof task.task>[1]) => {
        await task.task(context, wrapper);
        titles.push(wrapper.title);
      },
    })),
    { renderer: 'silent' },
  ).run();
  return { run, out, events, titles, metrics: run.result.metrics };
}
