import { resolve } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { MaasError } from '../errors.js';
import type { ModelSource } from '../plugin/api.js';
import type { CommandResult } from './cli/base-command.js';
import { ProjectCommand, projectFlags } from './cli/project-command.js';
import type { ServeOrder } from './cli/serve-release.js';
import { tracingFromEnv } from './cli/tracing-from-env.js';

export const addressFlags = {
  host: Flags.string({ summary: 'Address to listen on, instead of serve.host.' }),
  port: Flags.integer({
    summary: 'Port to listen on, instead of serve.port; 0 takes a spare one.',
    min: 0,
    max: 65535,
  }),
};

/** A release that is tried lets everybody in, and nobody hears of it. */
const withoutOthers = {
  keys: undefined,
  tls: undefined,
  grpcPort: undefined,
  sample: undefined,
  tracing: undefined,
  prepare: false,
  processes: 1,
};

export default class Serve extends ProjectCommand<typeof Serve> {
  static override summary = 'Serve the current release, an ONNX file, or a folder of models over HTTP.';
  static override description =
    'Answers POST /predict and the Open Inference Protocol, and goes over to each new release without a restart. With FILE it serves any ONNX model, with --models a folder of them (MODEL/VERSION/model.onnx), and goes along with what changes there. SIGTERM and Ctrl-C stop it after the requests under way are answered.';
  static override examples = [
    { description: 'Serve what is deployed', command: '<%= config.bin %> serve' },
    { description: 'Serve to other machines', command: '<%= config.bin %> serve --host 0.0.0.0 --port 80' },
    { description: 'Serve any ONNX model', command: '<%= config.bin %> serve resnet50.onnx' },
    { description: 'Serve many', command: '<%= config.bin %> serve --models models' },
    {
      description: 'Serve one release folder, without a project',
      command: '<%= config.bin %> serve --release DIR',
    },
  ];
  static override args = {
    file: Args.string({ description: 'Serve this ONNX file. Needs no project.', required: false }),
  };
  static override flags = {
    ...projectFlags,
    ...addressFlags,
    'grpc-port': Flags.integer({
      summary:
        'Port for the Open Inference Protocol over gRPC, instead of serve.grpcPort; 0 takes a spare one.',
      min: 0,
      max: 65535,
    }),
    release: Flags.string({
      summary: 'Serve this release folder, and no other.',
      helpValue: 'DIR',
      exclusive: ['models'],
    }),
    plain: Flags.boolean({
      summary:
        'In one process, without keys, TLS, gRPC, samples and traces, whatever the config says: how a release is tried before it goes anywhere.',
      hidden: true,
    }),
    part: Flags.boolean({
      summary: 'One of several processes that serve: how such a one is started by the others’ primary.',
      hidden: true,
    }),
    models: Flags.string({
      summary: 'Serve the models in this folder: MODEL/VERSION/model.onnx. Needs no project.',
      helpValue: 'DIR',
    }),
  };

  protected override async execute(): Promise<CommandResult> {
    const source = this.namedSource();
    // At once: all that follows is loaded meanwhile.
    const { startSpare } = await import('../stages/serve/start-spare.js');
    const spare = source && (await startSpare(source, { cache: this.config.cacheDir }));
    try {
      return await this.serve({
        ...(source ? await this.openFor(source) : await this.openCurrent()),
        ...(spare && { spare }),
      });
    } finally {
      // Not waited for: an error should be told first.
      void spare?.close();
    }
  }

  private async serve(found: Omit<ServeOrder, 'overrides' | 'cache' | 'beside'>): Promise<CommandResult> {
    const { host, port, plain, 'grpc-port': grpcPort } = this.flags;
    const warn = (text: string): void => {
      this.reporter.emit({ event: 'warning', stage: 'serve', text });
    };
    const configured = found.options as { readonly tracing?: unknown } | undefined;
    const tracing =
      configured?.tracing === undefined && !plain ? tracingFromEnv(process.env, warn) : undefined;
    const { besideWith, serveRelease } = await import('./cli/serve-release.js');
    const served = await serveRelease(
      {
        ...found,
        cache: this.config.cacheDir,
        beside: besideWith(this.argv),
        isPart: this.flags.part,
        overrides: {
          ...(host !== undefined && { host }),
          ...(port !== undefined && { port }),
          ...(grpcPort !== undefined && { grpcPort }),
          ...(tracing && { tracing }),
          ...(plain && withoutOthers),
        },
      },
      this.reporter,
      this.stopping.signal,
    );
    return { json: { service: 'serve', status: 'done', ...served }, text: '' };
  }

  /** The project's current release. */
  private async openCurrent(): Promise<Omit<ServeOrder, 'overrides' | 'cache'>> {
    const context = await this.open(['deploy', 'serve']);
    const { currentReleaseLink, openTarget } = await import('../stages/deploy/index.js');
    const path = await currentReleaseLink(openTarget(context));
    const { registry, project } = context;
    return {
      registry,
      options: project.config['serve'],
      root: project.root,
      source: { kind: 'release', path, follow: true },
    };
  }

  private async openFor(source: ModelSource): Promise<Omit<ServeOrder, 'overrides' | 'cache'>> {
    try {
      const { registry, project } = await this.open(['serve'], true);
      return { registry, options: project.config['serve'], root: project.root, source };
    } catch (error) {
      // A model is whole in itself: where there is no project, the defaults serve it.
      const isOptional = error instanceof MaasError && error.code === 'MAAS_CONFIG_MISSING';
      if (!isOptional || !this.defaulted.has('config')) throw error;
      const { loadRegistry } = await import('../plugin/load-registry.js');
      return {
        registry: await loadRegistry(this.config, { sections: ['serve'] }),
        options: undefined,
        source,
      };
    }
  }

  /** What the command line names instead of the project's current release. */
  private namedSource(): ModelSource | undefined {
    const { release, models } = this.flags;
    const { file } = this.args;
    if (file !== undefined) {
      if (release !== undefined || models !== undefined) {
        throw new MaasError('MAAS_USAGE', 'a file cannot be served beside --release or --models', {
          hint: 'Put the file into the folder of models, as NAME.onnx.',
        });
      }
      return { kind: 'file', path: resolve(file), follow: true };
    }
    if (models !== undefined) return { kind: 'repository', path: resolve(models), follow: true };
    return release === undefined ? undefined : { kind: 'release', path: resolve(release), follow: false };
  }
}
