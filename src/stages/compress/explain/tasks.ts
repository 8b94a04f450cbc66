import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ListrTask } from 'listr2';
import type { Registry, StageRun } from '../../../plugin/api.js';
import type { RunnerContext } from '../../assess.js';
import { findStage, openInputs } from '../../inputs.js';
import type { CompressOptions } from '../config.js';
import type { Subject } from '../subject.js';
import type { Explanation } from './explain-layers.js';

export interface Explaining {
  readonly tasks: readonly ListrTask[];
  /** When the tasks have ended. */
  readonly found: () => Explanation;
}

/** Explains the model of a project, with the rows and the passes of its config. */
export function explainProject({ project, registry, store, signal, emit }: RunnerContext): Explaining {
  const options = project.config['compress'] as CompressOptions;
  return explain(options, registry, async (work) => {
    const stage = findStage(project, registry, 'compress');
    const inputs = await openInputs({ project, registry, store }, stage, new Map());
    const { openProjectSubject } = await import('../project-subject.js');
    const result = { metrics: {}, measured: {}, notes: [] };
    const run: StageRun = {
      project,
      options,
      registry,
      store,
      inputs,
      signal,
      emit,
      out: work,
      work,
      result,
    };
    return openProjectSubject(run, () => undefined);
  });
}

/** Explains an ONNX file. */
export function explainFile(
  model: string,
  calibration: string | undefined,
  options: CompressOptions & { readonly seed: number },
  registry: Registry,
): Explaining {
  return explain(options, registry, async () => {
    const { openFileSubject } = await import('../file/file-subject.js');
    return openFileSubject(model, calibration, options);
  });
}

function explain(
  options: CompressOptions,
  { passes }: Registry,
  open: (work: string) => Promise<Subject>,
): Explaining {
  let explanation: Explanation | undefined;
  const task: ListrTask = {
    title: 'look at each layer',
    task: async () => {
      const { explainLayers } = await import('./explain-layers.js');
      const work = await mkdtemp(join(tmpdir(), 'maas-explain-'));
      try {
        explanation = await explainLayers({ subject: await open(work), options, passes });
      } finally {
        await rm(work, { recursive: true, force: true });
      }
    },
  };
  return { tasks: [task], found: () => explanation! };
}
