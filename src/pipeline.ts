import { MaasError } from './errors.js';
import { findStage } from './stages/inputs.js';
import {
  createRunner,
  enabledStages,
  type Runner,
  type RunnerContext,
  type TaskOptions,
} from './stages/runner.js';

export type { Outcome, Plan, RunnerContext, TaskOptions } from './stages/runner.js';
export { readStatus, type StageStatus } from './stages/status.js';

/**
 * The pipeline on one page. Each stage reads what the one before it left on disk:
 *
 *   stage      reads              writes
 *   train      the data           model     model.onnx, signature.json, history.json
 *   compress   model, held-out    model     model.onnx, signature.json, report.json   (when the config asks for it)
 *   deploy     model, held-out    release   model.onnx, signature.json, golden.json, reference.json; then the target switches to it
 *   serve      the target's current release, until it is stopped
 *
 * Plugins put stages of their own after any of the first three. A stage runs when its section is in the config, and
 * does nothing when its options, inputs, data, seed and code are what they were.
 */
export function openPipeline(context: RunnerContext, selection: Selection = {}): Pipeline {
  const stages = selectStages(context, selection);
  const runner = createRunner(context);
  return {
    stages,
    plan: () => runner.plan(stages),
    tasks: (options) => runner.tasks(stages, options),
    outcomes: runner.outcomes,
  };
}

/** Which stages a command is about: one, or a stretch of the pipeline with both ends in it, or all. */
export type Selection = { readonly only: string } | { readonly from?: string; readonly to?: string };

export interface Pipeline {
  /** The selected stages in the order in which they run. */
  readonly stages: readonly string[];
  /** What would run, and why; changes nothing. */
  plan(): ReturnType<Runner['plan']>;
  /** The work as listr2 tasks, to be run one after another. */
  tasks(options: TaskOptions): ReturnType<Runner['tasks']>;
  /** What became of the stages that have ended, the failed one included. */
  readonly outcomes: Runner['outcomes'];
}

/** @throws MaasError MAAS_USAGE for a stage that does not exist, is not in the config, or for an end before the start. */
export function selectStages(
  { project, registry }: Pick<RunnerContext, 'project' | 'registry'>,
  selection: Selection,
): string[] {
  const { from, to } = 'only' in selection ? { from: selection.only, to: selection.only } : selection;
  const enabled = enabledStages(project, registry);
  const place = (name: string) => enabled.indexOf(findStage(project, registry, name).name);
  const first = from === undefined ? 0 : place(from);
  const last = to === undefined ? enabled.length - 1 : place(to);
  if (first <= last) return enabled.slice(first, last + 1);
  if (enabled.length > 0) throw new MaasError('MAAS_USAGE', `${from} comes after ${to} in the pipeline`);
  throw new MaasError('MAAS_USAGE', 'the config has no stage to run', {
    place: { file: project.configFile },
    hint: `Add \`${registry.stages[0]?.name ?? 'train'}:\` to the config.`,
  });
}
