import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Listr, type ListrTask } from 'listr2';
import { onTestFinished } from 'vitest';
import { z } from 'zod';
import { openStore, type Json } from '../../src/artifacts/index.js';
import {
  openPipeline,
  type Outcome,
  type Pipeline,
  type RunnerContext,
  type Selection,
} from '../../src/pipeline.js';
import { defineStage, type Registry, type Stage, type StageRun } from '../../src/plugin/api.js';
import type { ProgressEvent } from '../../src/plugin/events.js';

interface Options {
  readonly text?: string;
}

/** What a test can make the fake stages do. */
export interface Behaviour {
  /** How often each stage's work was done. */
  readonly works: Record<string, number>;
  /** Part of train's key, as a data digest is. */
  data: string;
  /** Runs at the end of a stage's work. */
  onWork: (run: StageRun, stage: string) => Promise<void> | void;
  onEffect: () => Promise<void> | void;
}

/** train → compress → deploy in the manner of the real ones, on text files. */
export function fakeStages(behaviour: Behaviour): Stage[] {
  const work = (run: StageRun<Options>, stage: string, text: string): ListrTask[] => [
    {
      title: 'write',
      task: async () => {
        await writeFile(join(run.out, 'model.txt'), text);
        run.result.metrics['length'] = text.length;
      },
    },
    {
      title: 'end',
      task: async () => {
        behaviour.works[stage] = (behaviour.works[stage] ?? 0) + 1;
        run.result.measured['works'] = behaviour.works[stage];
        run.result.notes.push(`${stage} worked`);
        await behaviour.onWork(run, stage);
      },
    },
  ];
  const readModel = async (run: StageRun<Options>) =>
    readFile(join(run.inputs.model!.path, 'model.txt'), 'utf8');
  const options = () => z.object({ text: z.string().optional() });
  const later = (
    name: string,
    after: string,
    writes: 'model' | 'release',
    effect?: Stage<Options>['effect'],
  ) =>
    defineStage<Options>({
      name,
      after,
      summary: `${name} it`,
      options,
      reads: ['model'],
      writes,
      version: 1,
      tasks: (run) => [
        {
          task: async (_, task) =>
            task.newListr(work(run, name, `${await readModel(run)} ${name}:${run.options.text ?? ''}`)),
        },
      ],
      effect,
    });
  return [
    defineStage<Options>({
      name: 'train',
      summary: 'train it',
      options,
      reads: [],
      writes: 'model',
      version: 1,
      key: () => Promise.resolve({ data: behaviour.data, engine: { name: 'fake' } }),
      tasks: (run) =>
        work(run, 'train', `${behaviour.data} ${run.project.seed} train:${run.options.text ?? ''}`),
    }),
    later('compress', 'train', 'model'),
    later('deploy', 'compress', 'release', {
      inPlace: async ({ project }, { digest }) => {
        const path = join(project.root, 'current');
        return existsSync(path) && (await readFile(path, 'utf8')) === digest;
      },
      tasks: ({ project, artifact, result }) => [
        {
          title: 'switch',
          task: async () => {
            await behaviour.onEffect();
            await writeFile(join(project.root, 'current'), artifact.digest);
            result.measured['readyMs'] = 1;
          },
        },
      ],
    }),
  ];
}

export interface Bench {
  readonly root: string;
  readonly behaviour: Behaviour;
  readonly events: ProgressEvent[];
  /** May be changed between runs. */
  config: Record<string, unknown>;
  seed: number;
  stages: Stage[];
  abort: AbortController;
  context(): RunnerContext;
  open(selection?: Selection): Pipeline;
  /** Runs and gives the outcomes; rejects as the run does. */
  run(selection?: Selection, force?: boolean): Promise<readonly Outcome[]>;
  /** Runs something that fails, and gives the error with the outcomes. */
  fail(selection?: Selection, force?: boolean): Promise<{ error: unknown; outcomes: readonly Outcome[] }>;
  /** Titles of the top tasks after the last run. */
  titles: string[];
}

/** A project with fake stages in a folder that goes when the test ends. */
export async function makeBench(): Promise<Bench> {
  const root = await mkdtemp(join(tmpdir(), 'maas-stages-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  const behaviour: Behaviour = {
    works: {},
    data: 'd1',
    onWork: () => undefined,
    onEffect: () => undefined,
  };
  const bench: Bench = {
    root,
    behaviour,
    events: [],
    config: { train: { text: 'a' }, compress: {}, deploy: {} },
    seed: 7,
    stages: fakeStages(behaviour),
    abort: new AbortController(),
    titles: [],
    context: () => ({
      project: {
        name: 'iris',
        seed: bench.seed,
        root,
        configFile: join(root, 'maas.config.yaml'),
        config: bench.config,
      },
      registry: makeRegistry(bench.stages),
      store: openStore(join(root, '.maas')),
      signal: bench.abort.signal,
      emit: (event) => bench.events.push(event),
    }),
    open: (selection) => openPipeline(bench.context(), selection),
    async run(selection, force = false) {
      const pipeline = bench.open(selection);
      await show(bench, pipeline.tasks({ force }));
      return pipeline.outcomes;
    },
    async fail(selection, force = false) {
      const pipeline = bench.open(selection);
      try {
        await show(bench, pipeline.tasks({ force }));
      } catch (error) {
        return { error, outcomes: pipeline.outcomes };
      }
      throw new Error('the run did not fail');
    },
  };
  return bench;
}

export function makeRegistry(stages: readonly Stage[]): Registry {
  return {
    stages,
    engines: new Map(),
    passes: new Map(),
    targets: new Map(),
    protocols: new Map(),
    services: new Map(),
  };
}

/** `stage status` of each outcome. */
export function brief(outcomes: readonly Outcome[]): string[] {
  return outcomes.map(({ stage, status }) => `${stage} ${status}`);
}

export function digests(outcomes: readonly Outcome[]): Json[] {
  return outcomes.map(({ digest }) => digest ?? null);
}

async function show(bench: Bench, tasks: ListrTask[]): Promise<void> {
  const list = new Listr(tasks, { renderer: 'silent', registerSignalListeners: false });
  try {
    await list.run();
  } finally {
    bench.titles = list.tasks.map(({ title }) => String(title));
  }
}
