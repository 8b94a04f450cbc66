import type { ListrTask } from 'listr2';
import type { EffectRun, StageRun } from '../../plugin/api.js';
import { copyModel, writeGolden, writeOrigin } from './build-release.js';
import type { DeployOptions } from './config.js';
import { openTarget } from './target-context.js';
import type { Verification } from './verify.js';

/** Builds the release. */
export function buildTasks(run: StageRun<DeployOptions>): ListrTask[] {
  return [
    { title: 'copy the model', task: () => copyModel(run) },
    {
      title: 'record golden rows',
      task: async (_context, task) => {
        const rows = await writeGolden(run);
        task.title = `record ${rows} golden rows`;
      },
    },
    {
      title: run.options.sign === undefined ? 'tell where it is from' : 'tell where it is from, and sign it',
      task: () => writeOrigin(run),
    },
  ];
}

/** Brings the release to the target. */
export function targetTasks(run: EffectRun<DeployOptions>): ListrTask[] {
  const { project, registry, signal, artifact, result } = run;
  const { target, context } = openTarget({
    project,
    registry,
    signal,
    onVerified: (verification) => {
      result.measured['verify'] = { ...verification };
      result.notes.push(describeVerification(verification));
      if (verification.misfit !== undefined) result.notes.push(verification.misfit);
    },
    onCanary: (figures) => {
      result.measured['canary'] = { ...figures };
    },
  });
  return target.steps(context, artifact).map((step) => ({
    title: step.title,
    task: (_context, task) =>
      step.run((text) => {
        task.output = text;
      }),
  }));
}

function describeVerification({ rows, maxError, readyMs }: Verification): string {
  const error = maxError === 0 ? 'exactly' : `within ${maxError.toPrecision(2)}`;
  return `verified: ready after ${(readyMs / 1000).toFixed(1)} s, ${rows} golden rows answered ${error}`;
}
