import type { ListrTask } from 'listr2';
import type { Artifact, Json } from '../artifacts/index.js';
import { assessStage, type RunnerContext } from './assess.js';
import { findProducer, findStage } from './inputs.js';
import { createStageTask } from './run-stage.js';

export type { RunnerContext } from './assess.js';
export { enabledStages } from './inputs.js';

/** What became of a stage. */
export interface Outcome {
  readonly stage: string;
  readonly status: 'done' | 'cached' | 'failed';
  /** Path of the artifact. */
  readonly artifact?: string;
  readonly digest?: string;
  readonly metrics: Readonly<Record<string, Json>>;
  readonly measured: Readonly<Record<string, Json>>;
  readonly notes: readonly string[];
  readonly seconds: number;
  /** Why it ran, or why it did not. */
  readonly why: readonly string[];
}

/** What would become of a stage. */
export interface Plan {
  readonly stage: string;
  readonly status: 'cached' | 'run';
  readonly why: readonly string[];
  /** Of the artifact that is there already. */
  readonly digest?: string;
  /** Cache key, where it can be known. */
  readonly key?: string;
}

export interface TaskOptions {
  /** Run what is cached, too. */
  readonly force: boolean;
  /** False stops each stage at its artifact: what it does to the world outside is left. Default: true. */
  readonly effects?: boolean;
}

export interface Runner {
  /** Tells what would run and why, and changes nothing. Throws what the stages' inputs would throw. */
  plan(stages: readonly string[]): Promise<Plan[]>;
  /** One task per stage, for a listr2 list that runs them one after another and stops at the first that fails. */
  tasks(stages: readonly string[], options: TaskOptions): ListrTask[];
  /** Grows as the tasks end, in their order. */
  readonly outcomes: readonly Outcome[];
}

/**
 * Runs stages: each reads the newest artifacts of the stages before it, does nothing when nothing changed, and else
 * works in a folder of its own that becomes the stage's artifact when all of it has gone well.
 */
export function createRunner(context: RunnerContext): Runner {
  const { project, registry } = context;
  const outcomes: Outcome[] = [];
  // What this run has made or checked. Later stages read exactly that, whatever another run does in between.
  const settled = new Map<string, Artifact>();
  return {
    outcomes,
    async plan(names) {
      const plans: Plan[] = [];
      const known = new Map<string, Artifact>();
      for (const name of names) {
        const stage = findStage(project, registry, name);
        const first = stage.reads
          .map((kind) => findProducer(project, registry, stage, kind).name)
          .find((producer) => plans.some((plan) => plan.stage === producer && plan.status === 'run'));
        if (first !== undefined) {
          plans.push({ stage: name, status: 'run', why: [`${first} runs first`] });
          continue;
        }
        const { hit, inPlace, key, why } = await assessStage(context, stage, known);
        if (hit) known.set(name, hit.artifact);
        plans.push({
          stage: name,
          status: inPlace === true ? 'cached' : 'run',
          why,
          key,
          ...(hit && { digest: hit.artifact.digest }),
        });
      }
      return plans;
    },
    tasks(names, { force, effects = true }) {
      return names
        .map((name) => findStage(project, registry, name))
        .map((stage) =>
          createStageTask(context, stage, { force, effects, chosen: names, settled, outcomes }),
        );
    },
  };
}
