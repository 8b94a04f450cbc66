import { findingsTable } from '../ui/tables.js';
import type { CommandResult } from './cli/base-command.js';
import { ProjectCommand } from './cli/project-command.js';
import { exitCodes } from '../errors.js';

export default class Doctor extends ProjectCommand<typeof Doctor> {
  static override summary = 'Tell what this machine has, and what is missing.';
  static override description =
    'Looks at Node.js, onnxruntime, the CPU, room on the disk, each engine, and MPI with the hosts of train.distributed. Ends with 4 when something is missing that maas, or the project here, needs.';
  static override examples = [
    { description: 'Look', command: '<%= config.bin %> doctor' },
    {
      description: 'What is missing, for a script',
      command: '<%= config.bin %> doctor --json | jq \'.findings[] | select(.state == "missing")\'',
    },
  ];

  protected override async execute(): Promise<CommandResult> {
    const { registry, project } = await this.openIfThere();
    const { examine } = await import('../stages/examine.js');
    const findings = await examine({ registry, project, root: process.cwd(), cache: this.config.cacheDir });
    const isWhole = findings.every(({ state }) => state !== 'missing');
    if (!isWhole) process.exitCode = exitCodes.environment;
    const verdict = isWhole ? 'Nothing is missing.' : 'Something is missing: see the hints.';
    return {
      json: { status: isWhole ? 'ok' : 'missing', findings },
      text: `${findingsTable(findings, this.reporter)}\n\n${verdict}`,
    };
  }
}
