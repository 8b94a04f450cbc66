import { Flags } from '@oclif/core';
import type { CommandResult } from './cli/base-command.js';
import { StageCommand } from './cli/stage-command.js';
import { ratesTable } from '../ui/rates-table.js';
import { runTasks } from '../ui/run-tasks.js';

export default class Train extends StageCommand<typeof Train> {
  static override summary = 'Train a model on the project’s data.';
  static override description =
    'Reads the data that the config names and leaves a model in .maas. Does nothing when nothing changed; a run that was stopped goes on where it stopped.';
  static override examples = [
    { description: 'Train as the config says', command: '<%= config.bin %> train' },
    { description: 'Try a shorter run', command: '<%= config.bin %> train --set train.epochs=10' },
    { description: 'Cross-validate', command: '<%= config.bin %> train --folds 5' },
    { description: 'Look for a learning rate', command: '<%= config.bin %> train --find-lr' },
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
  };

  protected override readonly stage = 'train';

  protected override async execute(): Promise<CommandResult | undefined> {
    const { folds, set = [], 'find-lr': findsRate } = this.flags;
    if (findsRate) return this.findRate();
    if (folds !== undefined) this.flags.set = [...set, `train.folds=${folds}`];
    const context = await this.openTogether();
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
}
