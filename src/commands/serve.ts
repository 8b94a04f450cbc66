import { resolve } from 'node:path';
import { Flags } from '@oclif/core';
import { loadRegistry } from '../plugin/load-registry.js';
import { MaasError } from '../errors.js';
import type { CommandResult } from './cli/base-command.js';
import { ProjectCommand, projectFlags } from './cli/project-command.js';
import { serveRelease, type ServeOrder } from './cli/serve-release.js';

export const addressFlags = {
  host: Flags.string({ summary: 'Address to listen on, instead of serve.host.' }),
  port: Flags.integer({
    summary: 'Port to listen on, instead of serve.port; 0 takes a spare one.',
    min: 0,
    max: 65535,
  }),
};

export default class Serve extends ProjectCommand<typeof Serve> {
  static override summary = 'Serve the current release over HTTP.';
  static override description =
    'Answers POST /predict and the Open Inference Protocol, and goes over to each new release without a restart. SIGTERM and Ctrl-C stop it after the requests under way are answered.';
  static override examples = [
    { description: 'Serve what is deployed', command: '<%= config.bin %> serve' },
    { description: 'Serve to other machines', command: '<%= config.bin %> serve --host 0.0.0.0 --port 80' },
    {
      description: 'Serve one release folder, without a project',
      command: '<%= config.bin %> serve --release DIR',
    },
  ];
  static override flags = {
    ...projectFlags,
    ...addressFlags,
    release: Flags.string({ summary: 'Serve this release folder, and no other.', helpValue: 'DIR' }),
  };

  protected override async execute(): Promise<CommandResult> {
    const { host, port } = this.flags;
    const served = await serveRelease(
      {
        ...(await this.findRelease()),
        overrides: { ...(host !== undefined && { host }), ...(port !== undefined && { port }) },
      },
      this.reporter,
      this.stopping.signal,
    );
    return { json: { service: 'serve', status: 'done', ...served }, text: '' };
  }

  private async findRelease(): Promise<Omit<ServeOrder, 'overrides'>> {
    const { release } = this.flags;
    if (release === undefined) {
      const context = await this.open();
      const { currentReleaseLink, openTarget } = await import('../stages/deploy/index.js');
      const path = await currentReleaseLink(openTarget(context));
      const { registry, project } = context;
      return { registry, options: project.config['serve'], release: { path, follow: true } };
    }
    const folder = { path: resolve(release), follow: false };
    try {
      const { registry, project } = await this.open();
      return { registry, options: project.config['serve'], release: folder };
    } catch (error) {
      // A release is whole in itself: where there is no project, the defaults serve it.
      const isOptional = error instanceof MaasError && error.code === 'MAAS_CONFIG_MISSING';
      if (!isOptional || !this.defaulted.has('config')) throw error;
      return { registry: await loadRegistry(this.config), options: undefined, release: folder };
    }
  }
}
