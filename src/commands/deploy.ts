import { Args, Flags } from '@oclif/core';
import { MaasError } from '../errors.js';
import { shortDigest } from '../ui/format.js';
import { describePlan } from '../ui/deploy-plan.js';
import { checkTable, releaseTable } from '../ui/tables.js';
import type { CommandResult } from './cli/base-command.js';
import { StageCommand } from './cli/stage-command.js';

export default class Deploy extends StageCommand<typeof Deploy> {
  static override summary = 'Release the newest model: verify it, then switch to it.';
  static override description =
    'Builds a release, starts it on a spare port, checks that it answers as it should, and only then makes it the current one. A running `maas serve` goes over to it.';
  static override examples = [
    { description: 'Release the newest model', command: '<%= config.bin %> deploy' },
    { description: 'See what it would change', command: '<%= config.bin %> deploy --plan' },
    { description: 'Check what is deployed', command: '<%= config.bin %> deploy --verify' },
    { description: 'See the releases there are', command: '<%= config.bin %> deploy --list' },
    { description: 'Go back to the release before this one', command: '<%= config.bin %> deploy --rollback' },
    { description: 'Go back two releases', command: '<%= config.bin %> deploy --rollback 2' },
  ];
  static override flags = {
    ...StageCommand.flags,
    plan: Flags.boolean({
      summary: 'Build the release, tell what bringing it to the target would change, and stop.',
      exclusive: ['list', 'rollback', 'prune'],
    }),
    verify: Flags.boolean({
      summary: 'Check what is deployed, and what runs of it, against its digests and golden rows, and stop.',
      exclusive: ['list', 'rollback', 'prune', 'plan', 'force'],
    }),
    list: Flags.boolean({ summary: 'List the releases of the target and stop.' }),
    prune: Flags.boolean({
      summary: 'Remove old releases from the target, as deploy.keep says, and stop.',
      exclusive: ['list', 'rollback', 'force'],
    }),
    rollback: Flags.boolean({
      summary: 'Go back to the release before the current one, or COUNT releases.',
      exclusive: ['list', 'force'],
    }),
  };
  static override args = {
    count: Args.integer({ description: 'How many releases --rollback goes back; 1 when left out.', min: 1 }),
  };

  protected override readonly stage = 'deploy';

  protected override async execute(): Promise<CommandResult | undefined> {
    if (this.args.count !== undefined && !this.flags.rollback) {
      throw new MaasError('MAAS_USAGE', `unexpected argument: ${this.args.count}`, {
        hint: 'A number goes with --rollback only.',
      });
    }
    if (this.flags.plan) return this.plan();
    if (this.flags.verify) return this.verify();
    if (this.flags.list) return this.listReleases();
    if (this.flags.prune) return this.prune();
    if (this.flags.rollback) return this.rollBack();
    return super.execute();
  }

  private async plan(): Promise<CommandResult> {
    const { openTarget, planDeploy } = await import('../stages/deploy/index.js');
    const context = await this.open();
    const { force } = this.flags;
    const [outcome] = await this.runStages(context, { only: this.stage }, { force, effects: false });
    const release = await context.store.open(this.stage, outcome!.digest!);
    const plan = await planDeploy(openTarget(context), context.store, release);
    return {
      json: { stage: this.stage, status: 'planned', ...plan, current: plan.current ?? null },
      text: describePlan(plan, this.reporter),
    };
  }

  private async verify(): Promise<CommandResult> {
    const { openTarget, verifyDeployed } = await import('../stages/deploy/index.js');
    const context = await this.open();
    const { release, checks } = await verifyDeployed(openTarget(context), context.store);
    return {
      json: { stage: this.stage, status: 'verified', digest: release, checks },
      text: `Release ${shortDigest(release)} is what it should be.\n\n${checkTable(checks, this.reporter)}`,
    };
  }

  private async prune(): Promise<CommandResult> {
    const { openTarget, pruneReleases } = await import('../stages/deploy/index.js');
    const removed = await pruneReleases(openTarget(await this.open()));
    return {
      json: { stage: this.stage, status: 'done', removed },
      text:
        removed === 0
          ? 'Nothing to remove.'
          : `Removed ${removed} old ${removed === 1 ? 'release' : 'releases'}.`,
    };
  }

  private async listReleases(): Promise<CommandResult> {
    const { listReleases, openTarget } = await import('../stages/deploy/index.js');
    const releases = await listReleases(openTarget(await this.open()));
    return { json: { stage: this.stage, releases }, text: releaseTable(releases, this.reporter) };
  }

  private async rollBack(): Promise<CommandResult> {
    const { openTarget, rollbackRelease } = await import('../stages/deploy/index.js');
    const digest = await rollbackRelease(openTarget(await this.open()), this.args.count ?? 1);
    return {
      json: { stage: this.stage, status: 'done', digest },
      text: `Went back to release ${shortDigest(digest)}.`,
    };
  }
}
