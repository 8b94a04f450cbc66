import { StageCommand } from './cli/stage-command.js';

export default class Compress extends StageCommand<typeof Compress> {
  static override summary = 'Make the trained model smaller, and check what that cost.';
  static override description =
    'Runs the passes of the config on the trained model, measures size, latency and accuracy against it, and ends with exit code 3 when a gate fails: the compressed model of before then stays.';
  static override examples = [
    { description: 'Compress the trained model', command: '<%= config.bin %> compress' },
    {
      description: 'Read the figures in a script',
      command: '<%= config.bin %> compress --json | jq .metrics',
    },
  ];

  protected override readonly stage = 'compress';
}
