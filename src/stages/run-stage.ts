import type { Listr, ListrTask, ListrTaskWrapper } from 'listr2';
import { digestOf, type Artifact, type StageRecord, type Staging } from '../artifacts/index.js';
import { asDiskError, MaasError } from '../errors.js';
import type { Stage, StageResult } from '../plugin/api.js';
import { announceSteps } from './announce-steps.js';
import { assessStage, type Assessment, type RunnerContext } from './assess.js';
import { artifactOptions, shorten } from './cache-key.js';
import { describeStaleInputs } from './inputs.js';
import type { Outcome } from './runner.js';
import { readToolchain } from './toolchain.js';

/** Runs that stay in the cache, for every stage: as many as `deploy` keeps releases. */
const keptRuns = 5;

export interface StageOrders {
  readonly force: boolean;
  readonly effects: boolean;
  /** All stages of this run. */
  readonly chosen: readonly string[];
  /** Artifacts that this run has made or checked, by stage; the task adds its own. */
  readonly settled: Map<string, Artifact>;
  /** The task adds its own. */
  readonly outcomes: Outcome[];
}

// The renderer is chosen by whoever runs the list.
/* eslint-disable @typescript-eslint/no-explicit-any */
type Wrapper = ListrTaskWrapper<any, any, any>;
type List = Listr<any, any, any>;
/* eslint-enable @typescript-eslint/no-explicit-any */

/**
 * The life of one stage as a task:
 *
 *   assess → cached: nothing to do
 *          → lock → staging → the stage's tasks → commit → record → effect → prune → unlock
 *
 * A kill before the record leaves the former pointer, and the work folder for the next try. A kill after it leaves the
 * effect, which the next try finds not in place.
 */
export function createStageTask(context: RunnerContext, stage: Stage, orders: StageOrders): ListrTask {
  return {
    title: stage.name,
    task: async (_, task: Wrapper) => {
      const life = new StageLife(context, stage, orders, task);
      try {
        return await life.begin();
      } catch (error) {
        throw await life.fail(error);
      }
    },
  };
}

class StageLife {
  private readonly started = performance.now();
  private readonly result: StageResult = { metrics: {}, measured: {}, notes: [] };
  private readonly warnings: string[] = [];
  private why: readonly string[] = [];
  private artifact: Artifact | undefined;
  private record: StageRecord | undefined;
  private staging: Staging | undefined;
  private unlock: (() => Promise<void>) | undefined;

  constructor(
    private readonly context: RunnerContext,
    private readonly stage: Stage,
    private readonly orders: StageOrders,
    private readonly task: Wrapper,
  ) {}

  /** Ends a stage that has nothing to do; else gives the tasks that remain. */
  async begin(): Promise<List | undefined> {
    const { context, stage, orders } = this;
    context.emit({ event: 'stage-start', stage: stage.name });
    context.signal.throwIfAborted();
    for (const text of await describeStaleInputs(context, stage, orders.chosen)) this.warn(text);
    const found = await assessStage(context, stage, orders.settled);
    this.why = orders.force ? ['forced'] : found.why;
    const hit = orders.force ? undefined : found.hit;
    if (found.damage !== undefined)
      this.warn(`${found.damage}: ${hit ? 'mended from the cache' : 'made again'}`);
    if (hit === undefined) {
      await this.lock();
      return this.list(await this.work(found));
    }

    this.artifact = hit.artifact;
    this.record = hit.record;
    Object.assign(this.result.metrics, hit.artifact.manifest.metrics);
    Object.assign(this.result.measured, hit.record.measured);
    this.result.notes.push(...hit.record.notes);
    if (found.current?.key !== hit.record.key) {
      await this.lock();
      await context.store.record(hit.record);
    }
    if (found.inPlace === true || !orders.effects) {
      await this.release();
      this.finish('cached');
      return undefined;
    }
    await this.lock();
    return this.list(this.effect(found));
  }

  /** Everything from an empty folder to the effect of the new artifact. */
  private async work(found: Assessment): Promise<ListrTask[]> {
    const { context, stage, orders } = this;
    const { store } = context;
    // A forced run starts from nothing: a checkpoint may be what is wrong.
    if (orders.force) await store.removeWork(stage.name, found.key);
    this.staging = await store.stage(stage.name);
    const work = await store.work(stage.name, found.key);
    const run = { ...found.context, out: this.staging.path, work, result: this.result };
    return [
      ...stage.tasks(run),
      { title: `save the ${stage.writes}`, task: () => this.save(found) },
      ...this.effect(found),
    ];
  }

  private async save({ context, stated, parts, key }: Assessment): Promise<void> {
    const { stage, result } = this;
    const { project, store, signal } = context;
    signal.throwIfAborted();
    this.artifact = await this.staging!.commit({
      stage: stage.name,
      kind: stage.writes,
      name: project.name,
      seed: project.seed,
      inputs: Object.fromEntries(Object.entries(context.inputs).map(([kind, { digest }]) => [kind, digest])),
      options: digestOf(artifactOptions(project, stage)),
      key: stated,
      toolchain: { ...readToolchain() },
      metrics: result.metrics,
    });
    this.staging = undefined;
    // As a later run will read them: in the manifest's order.
    result.metrics = { ...this.artifact.manifest.metrics };
    this.record = {
      stage: stage.name,
      digest: this.artifact.digest,
      key,
      parts,
      measured: { ...result.measured },
      notes: [...result.notes],
      finishedAt: new Date().toISOString(),
      seconds: this.seconds(),
    };
    await store.record(this.record);
    await store.removeWork(stage.name, key);
  }

  private effect(found: Assessment): ListrTask[] {
    const { effect } = this.stage;
    if (effect === undefined || !this.orders.effects) return [];
    return [
      {
        // Without a title its subtasks stand beside those of the stage.
        task: async (_, task: Wrapper) => {
          found.context.signal.throwIfAborted();
          const artifact = this.artifact!;
          const isDone = !this.orders.force && (await effect.inPlace(found.context, artifact));
          if (isDone) return undefined;
          return task.newListr([
            ...effect.tasks({ ...found.context, artifact, result: this.result }),
            { task: () => this.recordEffect() },
          ]);
        },
      },
    ];
  }

  /** What the effect measured joins the record; its notes are about this once. */
  private async recordEffect(): Promise<void> {
    this.record = { ...this.record!, measured: { ...this.result.measured } };
    await this.context.store.record(this.record);
  }

  /** A list that ends the stage's life with its own end, however that comes. */
  private list(tasks: ListrTask[]): List {
    const list = this.task.newListr(tasks);
    announceSteps(list.tasks, this.stage.name, this.context.emit);
    const run = list.run.bind(list);
    list.run = async (given: unknown) => {
      try {
        const result: unknown = await run(given);
        await this.prune();
        await this.release();
        this.finish('done');
        return result;
      } catch (error) {
        throw await this.fail(error);
      }
    };
    return list;
  }

  private finish(status: 'done' | 'cached'): void {
    const { context, stage, orders, task, result } = this;
    const { digest, path } = this.artifact!;
    const outcome = { ...this.outcome(status), artifact: path, digest };
    orders.settled.set(stage.name, this.artifact!);
    orders.outcomes.push(outcome);
    if (status === 'cached') {
      task.title = `${stage.name} · cached ${shorten(digest)}: ${this.why.join('; ')}`;
      context.emit({ event: 'stage-cached', stage: stage.name, digest });
    } else {
      task.title = `${stage.name} · ${shorten(digest)}`;
      for (const text of result.notes) context.emit({ event: 'note', stage: stage.name, text });
      context.emit({ event: 'stage-done', stage: stage.name, digest, seconds: outcome.seconds });
    }
  }

  /** Cleans up after a failure; returns the error to throw. */
  async fail(error: unknown): Promise<unknown> {
    const { context, stage, orders } = this;
    const reason = this.explain(error);
    // The failure at hand is what matters; what cannot be cleaned up now is swept by the next run.
    await this.staging?.discard().catch(() => undefined);
    await this.release().catch(() => undefined);
    orders.outcomes.push(this.outcome('failed'));
    context.emit({
      event: 'stage-failed',
      stage: stage.name,
      code: reason instanceof MaasError ? reason.code : 'MAAS_BUG',
      message: reason instanceof Error ? reason.message : String(reason),
    });
    return reason;
  }

  private outcome(status: Outcome['status']): Outcome {
    const { stage, result, warnings, why } = this;
    const { metrics, measured, notes } = result;
    const seconds = this.seconds();
    return { stage: stage.name, status, metrics, measured, notes: [...warnings, ...notes], seconds, why };
  }

  private explain(error: unknown): unknown {
    const { signal } = this.context;
    const isOwn = error instanceof MaasError && error.code === 'MAAS_INTERRUPTED';
    if (signal.aborted && !isOwn) {
      return new MaasError('MAAS_INTERRUPTED', `${this.stage.name} was interrupted`, { cause: error });
    }
    return asDiskError(error, `${this.stage.name} cannot read or write a file`);
  }

  private async lock(): Promise<void> {
    this.unlock ??= await this.context.store.lock(this.stage.name);
  }

  private async release(): Promise<void> {
    const unlock = this.unlock;
    this.unlock = undefined;
    await unlock?.();
  }

  private async prune(): Promise<void> {
    try {
      await this.context.store.prune(keptRuns);
    } catch (error) {
      // The stage itself is done.
      this.warn(error instanceof Error ? error.message : String(error));
    }
  }

  private warn(text: string): void {
    this.warnings.push(text);
    this.context.emit({ event: 'warning', stage: this.stage.name, text });
  }

  private seconds(): number {
    return (performance.now() - this.started) / 1000;
  }
}
