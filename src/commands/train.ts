import type { CommandResult } from './cli/base-command.js';
import { StageCommand } from './cli/stage-command.js';

export default class Train extends StageCommand<typeof Train> {
  static override summary = 'Train a model on the project’s data.';
  static override description =
    'Reads the data that the config names and leaves a model in .maas. Does nothing when nothing changed; a run that was stopped goes on where it stopped.';
  static override examples = [
    { description: 'Train as the config says', command: '<%= config.bin %> train' },
    { description: 'Try a shorter run', command: '<%= config.bin %> train --set train.epochs=10' },
  ];

  protected override readonly stage = 'train';

  protected override async execute(): Promise<CommandResult | undefined> {
    const context = await this.openTogether();
    return context && this.runStage(context);
  }
}
