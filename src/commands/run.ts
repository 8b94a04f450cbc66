import { Flags } from '@oclif/core';
import { openPipeline, type Outcome, type RunnerContext } from '../pipeline.js';
import { shortDigest } from '../ui/format.js';
import { summarize } from '../ui/summary.js';
import { planTable } from '../ui/tables.js';
import type { CommandResult } from './cli/base-command.js';
import { forceFlag, ProjectCommand, projectFlags } from './cli/project-command.js';
import { besideWith, serveRelease } from './cli/serve-release.js';

export default class Run extends ProjectCommand<typeof Run> {
  static override summary = 'Do it all: train, compress, deploy.';
  static override description =
    'Runs every stage whose section is in the config, and only those whose options, inputs, data, seed or code changed since they last ran.';
  static override examples = [
    { description: 'From data to a release', command: '<%= config.bin %> run' },
    { description: 'And serve it', command: '<%= config.bin %> run --serve' },
    { description: 'See what would run, and why', command: '<%= config.bin %> run --dry-run' },
    { description: 'Stop before the deployment', command: '<%= config.bin %> run --to compress' },
  ];
  static override flags = {
    ...projectFlags,
    ...forceFlag,
    from: Flags.string({ summary: 'First stage to run.', helpValue: 'STAGE' }),
    to: Flags.string({ summary: 'Last stage to run.', helpValue: 'STAGE' }),
    serve: Flags.boolean({ summary: 'Go on to serve the release.', exclusive: ['dry-run'] }),
    'dry-run': Flags.boolean({ summary: 'Tell what would run, and change nothing.' }),
    why: Flags.boolean({ summary: 'Tell of each stage why it ran, or why it did not.' }),
  };

  protected override known(): object {
    return { stages: byStage(this.outcomes) };
  }

  protected override async execute(): Promise<CommandResult | undefined> {
    const { from, to, force, serve, why } = this.flags;
    const selection = { from, to };
    if (this.flags['dry-run']) {
      const context = await this.open();
      const plans = await openPipeline(context, selection).plan();
      return { json: { status: 'planned', stages: byStage(plans) }, text: planTable(plans, this.reporter) };
    }
    const context = await this.openTogether();
    if (!context) return undefined;
    const outcomes = await this.runStages(context, selection, { force });
    const result = this.summarize(outcomes, why);
    if (!serve) return result;
    this.reporter.result(result.json, result.text);
    await this.goOnToServe(context);
    return undefined;
  }

  private summarize(outcomes: readonly Outcome[], why: boolean): CommandResult {
    const release = outcomes.find(({ stage }) => stage === 'deploy');
    const text = summarize(outcomes, { color: this.reporter.color, why });
    return {
      json: {
        status: outcomes.every(({ status }) => status === 'cached') ? 'cached' : 'done',
        stages: byStage(outcomes),
        release: release ? { digest: release.digest, path: release.artifact } : null,
      },
      text: this.reporter.quiet ? '' : [text, ...this.describeRelease(release)].join('\n'),
    };
  }

  private describeRelease(release: Outcome | undefined): string[] {
    if (release?.digest === undefined) return [];
    const config = this.defaulted.has('config') ? '' : ` --config ${this.flags.config}`;
    return ['', `Release ${shortDigest(release.digest)} is current. Serve it:  npx maas serve${config}`];
  }

  private async goOnToServe(context: RunnerContext): Promise<void> {
    const { currentReleaseLink, openTarget } = await import('../stages/deploy/index.js');
    const path = await currentReleaseLink(openTarget(context));
    const { registry, project } = context;
    const { config, set = [] } = this.flags;
    await serveRelease(
      {
        registry,
        options: project.config['serve'],
        root: project.root,
        overrides: {},
        beside: besideWith(['--config', config, ...set.flatMap((value) => ['--set', value])]),
        source: { kind: 'release', path, follow: true },
      },
      this.reporter,
      this.stopping.signal,
    );
  }
}

function byStage<T extends { readonly stage: string }>(items: readonly T[]): Record<string, T> {
  return Object.fromEntries(items.map((item) => [item.stage, item]));
}
