import type { Command } from '@oclif/core';
import type { RunnerContext } from '../../pipeline.js';
import { summarize } from '../../ui/summary.js';
import type { CommandResult } from './base-command.js';
import { forceFlag, ProjectCommand, projectFlags } from './project-command.js';

/** `maas STAGE`: runs one stage on what the stages before it left on disk. */
export abstract class StageCommand<T extends typeof Command> extends ProjectCommand<T> {
  static override flags = { ...projectFlags, ...forceFlag };

  protected abstract readonly stage: string;

  protected override known(): object {
    return this.outcomes[0] ?? { stage: this.stage };
  }

  protected override async execute(): Promise<CommandResult | undefined> {
    return this.runStage(await this.open());
  }

  protected async runStage(context: RunnerContext): Promise<CommandResult> {
    const { force } = this.flags as unknown as { force: boolean };
    const [outcome] = await this.runStages(context, { only: this.stage }, { force });
    return { json: outcome!, text: this.reporter.quiet ? '' : summarize([outcome!], this.reporter) };
  }
}
