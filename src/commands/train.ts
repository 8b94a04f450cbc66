import { Flags } from '@oclif/core';
import { MaasError } from '../errors.js';
import { openPipeline, type Plan, type RunnerContext } from '../pipeline.js';
import type { CommandResult } from './cli/base-command.js';
import { StageCommand } from './cli/stage-command.js';
import { ratesTable } from '../ui/rates-table.js';
import { runTasks } from '../ui/run-tasks.js';
import { summarize } from '../ui/summary.js';

export default class Train extends StageCommand<typeof Train> {
  static override summary = 'Train a model on the project’s data.';
  static override description =
    'Reads the data that the config names and leaves a model in .maas. Does nothing when nothing changed; a run that was stopped goes on where it stopped.';
  static override examples = [
    { description: 'Train as the config says', command: '<%= config.bin %> train' },
    { description: 'Try a shorter run', command: '<%= config.bin %> train --set train.epochs=10' },
    { description: 'Cross-validate', command: '<%= config.bin %> train --folds 5' },
    { description: 'Look for a learning rate', command: '<%= config.bin %> train --find-lr' },
    { description: 'Train on a cluster', command: '<%= config.bin %> train --submit slurm --apply' },
  ];
  static override flags = {
    ...StageCommand.flags,
    folds: Flags.integer({
      summary: 'Cross-validate with so many folds first; the same as --set train.folds=N.',
      min: 2,
      helpValue: 'N',
      exclusive: ['find-lr'],
    }),
    'find-lr': Flags.boolean({
      summary: 'Try learning rates for a hundred steps, suggest one, and leave nothing behind.',
      exclusive: ['force'],
    }),
    submit: Flags.option({
      summary: 'Write the job that trains on a cluster, as train.submit says.',
      options: ['slurm', 'kubernetes'] as const,
      exclusive: ['find-lr', 'force'],
      helpGroup: 'CLUSTER',
    })(),
    apply: Flags.boolean({
      summary: 'Hand the job in, follow it, and bring the artifact here. Ctrl-C leaves the job running.',
      dependsOn: ['submit'],
      helpGroup: 'CLUSTER',
    }),
    // What a job was submitted for; it trains nothing else.
    'expect-key': Flags.string({ hidden: true }),
  };

  protected override readonly stage = 'train';

  protected override async execute(): Promise<CommandResult | undefined> {
    const { folds, set = [], submit, 'find-lr': findsRate, 'expect-key': key } = this.flags;
    if (findsRate) return this.findRate();
    if (folds !== undefined) this.flags.set = [...set, `train.folds=${folds}`];
    if (submit !== undefined) return this.submit(submit);
    const context = await this.openTogether();
    if (context && key !== undefined) await this.expectKey(context, key);
    return context && this.runStage(context);
  }

  private async findRate(): Promise<CommandResult> {
    const context = await this.open();
    const { rateTasks } = await import('../stages/train/learning-rate/tasks.js');
    const { tasks, found } = rateTasks(context);
    await runTasks(tasks, this.reporter.progress);
    this.reporter.say('');
    const result = found();
    return { json: { status: 'done', ...result }, text: ratesTable(result, this.reporter) };
  }

  private async submit(cluster: 'slurm' | 'kubernetes'): Promise<CommandResult> {
    const { apply, set = [] } = this.flags;
    const context = await this.open();
    const { status, key } = await planTraining(context);
    if (apply && status === 'cached') return this.runStage(context);
    // Loaded on demand: most trainings are done here.
    const { Submission } = await import('../stages/train/submit/submission.js');
    const { submitTasks } = await import('../stages/train/submit/tasks.js');
    const submission = new Submission({ ...context, cluster, key: key!, set });
    await runTasks(submitTasks(submission, apply), this.reporter.progress);
    this.reporter.say('');
    const { file, words, job } = submission;
    if (!apply) {
      return { json: { stage: 'train', status: 'written', job: job.name, file, submit: words }, text: words };
    }
    const after = await planTraining(context);
    if (after.status !== 'cached') {
      throw new MaasError(
        'MAAS_JOB_FAILED',
        `the job ended well, but its artifact is not here: ${after.why.join('; ')}`,
        {
          hint: 'The job and this machine must work on the same files: see train.submit.',
        },
      );
    }
    const [outcome] = await this.runStages(context, { only: this.stage }, { force: false });
    const done = { ...outcome!, status: 'done' as const };
    return { json: done, text: this.reporter.quiet ? '' : summarize([done], this.reporter) };
  }

  /** @throws MaasError MAAS_CONFIG_INVALID when this would be another training than the one that was submitted. */
  private async expectKey(context: RunnerContext, expected: string): Promise<void> {
    try {
      const { key, why } = await planTraining(context);
      if (key === expected) return;
      throw new MaasError(
        'MAAS_CONFIG_INVALID',
        `this is not the training that was submitted: ${key?.slice(0, 12)} instead of ${expected.slice(0, 12)} (${why.join('; ')})`,
        {
          place: { file: context.project.configFile },
          hint: 'The config, the data and the versions of maas must be the same here and where it was submitted.',
        },
      );
    } catch (error) {
      await context.world?.dismiss();
      throw error;
    }
  }
}

async function planTraining(context: RunnerContext): Promise<Plan> {
  const [plan] = await openPipeline(context, { only: 'train' }).plan();
  return plan!;
}
