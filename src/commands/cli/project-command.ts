import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Flags, type Command } from '@oclif/core';
import type { Outcome, Pipeline, RunnerContext, Selection, TaskOptions } from '../../pipeline.js';
import type { Project, Registry } from '../../plugin/api.js';
import { BaseCommand } from './base-command.js';

/** Flags of every command that works on a project. */
export const projectFlags = {
  config: Flags.string({
    char: 'c',
    summary: 'The project’s config file; paths in it are relative to its folder.',
    default: 'maas.config.yaml',
    helpValue: 'FILE',
  }),
  set: Flags.string({
    summary: 'Override a value of the config, as in train.epochs=20. May be given several times.',
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'KEY=VALUE',
  }),
  // Scripts may pass the same flags to every command; where nothing is cached there is nothing to force.
  force: Flags.boolean({ hidden: true }),
};

export const forceFlag = {
  force: Flags.boolean({ summary: 'Run even when nothing changed, and start from nothing.' }),
};

/** A command about one project: opens it, and runs stages of it. What it does so with is loaded then: a server has no use for much. */
export abstract class ProjectCommand<T extends typeof Command> extends BaseCommand<T> {
  static override flags = projectFlags;

  private pipeline: Pipeline | undefined;

  /**
   * @param sections Those of the config that the command reads; all where it does not say.
   * @param modelGiven The command line names a model: the config needs neither `name` nor `data`.
   */
  protected async open(sections?: readonly string[], modelGiven?: boolean): Promise<RunnerContext> {
    const { config: file, set } = this.flags as unknown as { config: string; set?: string[] };
    const [{ openProject }, { openStore }] = await Promise.all([
      import('../../config/open-project.js'),
      import('../../artifacts/index.js'),
    ]);
    const { project, registry } = await openProject({
      oclif: this.config,
      file: resolve(file),
      set,
      env: process.env,
      sections,
      modelGiven,
      // What is set is for a model that needs no project.
      optional: modelGiven === true && set !== undefined && this.defaulted.has('config'),
    });
    return {
      project,
      registry,
      store: openStore(join(project.root, '.maas')),
      signal: this.stopping.signal,
      emit: this.reporter.emit,
    };
  }

  /**
   * For commands that may train: one that was started several times, by mpirun or srun, is one command. Rank 0 carries it
   * out; nothing comes back in the others, once they have done their part.
   */
  protected async openTogether(): Promise<RunnerContext | undefined> {
    const context = await this.open();
    const { findWorld, forMpi, readMembership } =
      await import('../../stages/train/distributed/find-world.js');
    const world = findWorld(readMembership(process.env), context.project);
    if (!world) return context;
    for (const [name, value] of Object.entries(forMpi)) process.env[name] ??= value;
    if (world.member.rank === 0) return { ...context, world };
    // Loaded on demand: it brings protobuf along.
    const { followWorld } = await import('../../stages/train/distributed/outer.js');
    await followWorld(world, context);
    return undefined;
  }

  /** For commands that are of use outside of a project, too: what there is besides maas' own. */
  protected async openIfThere(): Promise<{ readonly registry: Registry; readonly project?: Project }> {
    const { config: file } = this.flags as unknown as { config: string };
    if (!this.defaulted.has('config') || existsSync(file)) return this.open();
    const { loadRegistry } = await import('../../plugin/load-registry.js');
    return { registry: await loadRegistry(this.config) };
  }

  /** Runs the selected stages with their progress on stderr. */
  protected async runStages(
    context: RunnerContext,
    selection: Selection,
    options: TaskOptions,
  ): Promise<readonly Outcome[]> {
    const [{ openPipeline }, { runTasks }] = await Promise.all([
      import('../../pipeline.js'),
      import('../../ui/run-tasks.js'),
    ]);
    const pipeline = openPipeline(context, selection);
    this.pipeline = pipeline;
    try {
      await runTasks(pipeline.tasks(options), this.reporter.progress);
    } finally {
      await context.world?.dismiss();
      // Sets what follows, result or error, apart from the progress.
      this.reporter.say('');
    }
    return pipeline.outcomes;
  }

  /** What became of the stages so far. */
  protected get outcomes(): readonly Outcome[] {
    return this.pipeline?.outcomes ?? [];
  }
}
