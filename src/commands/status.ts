import { readStatus } from '../pipeline.js';
import { statusTable } from '../ui/tables.js';
import { shortDigest } from '../ui/format.js';
import { MaasError } from '../errors.js';
import type { RunnerContext } from '../pipeline.js';
import type { CommandResult } from './cli/base-command.js';
import { ProjectCommand } from './cli/project-command.js';

export default class Status extends ProjectCommand<typeof Status> {
  static override summary = 'Tell what is there, what is out of date, and what is deployed.';
  static override examples = [
    { description: 'Look at the project here', command: '<%= config.bin %> status' },
    {
      description: 'Ask in a script whether all is up to date',
      command: '<%= config.bin %> status --json | jq \'all(.stages[]; .state == "fresh")\'',
    },
  ];

  protected override async execute(): Promise<CommandResult> {
    const context = await this.open();
    const statuses = await readStatus(context);
    const release = await findRelease(context);
    const lines = [
      statusTable(statuses, this.reporter, new Date()),
      '',
      release === undefined ? 'Nothing is deployed yet.' : `Release ${shortDigest(release)} is current.`,
    ];
    return {
      json: {
        name: context.project.name,
        stages: Object.fromEntries(statuses.map((status) => [status.stage, status])),
        release: release ?? null,
      },
      text: lines.join('\n'),
    };
  }
}

async function findRelease(context: RunnerContext): Promise<string | undefined> {
  if (context.project.config['deploy'] === undefined) return undefined;
  const { openTarget } = await import('../stages/deploy/index.js');
  const { target, context: targetContext } = openTarget(context);
  try {
    return await target.current(targetContext);
  } catch (error) {
    // A target that cannot be reached is no reason to hide what is here.
    if (error instanceof MaasError) context.emit({ event: 'warning', stage: 'deploy', text: error.message });
    else throw error;
    return undefined;
  }
}
