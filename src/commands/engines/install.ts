import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Args } from '@oclif/core';
import { takeLock } from '../../artifacts/lock.js';
import { asDiskError, MaasError } from '../../errors.js';
import { closest } from '../../suggest.js';
import { runTasks } from '../../ui/run-tasks.js';
import type { CommandResult } from '../cli/base-command.js';
import { forceFlag, ProjectCommand, projectFlags } from '../cli/project-command.js';

export default class EnginesInstall extends ProjectCommand<typeof EnginesInstall> {
  static override summary = 'Install what an engine needs beyond npm.';
  static override description =
    'tfjs-node: the package from npm, and libtensorflow from the host of its makers or, where that cannot be reached, from the official wheel of TensorFlow. It goes into maas’ own cache folder, once for all projects of this user; what was downloaded is kept, and a download that was cut off goes on.';
  static override examples = [
    {
      description: 'Install TensorFlow.js for Node.js',
      command: '<%= config.bin %> engines install tfjs-node',
    },
  ];
  static override flags = { ...projectFlags, ...forceFlag };
  static override args = { engine: Args.string({ description: 'Name of the engine.', required: true }) };

  protected override async execute(): Promise<CommandResult> {
    const { registry, project } = await this.openIfThere();
    const { engine: name } = this.args;
    const { force } = this.flags;
    const engine = registry.engines.get(name);
    if (!engine) {
      const names = [...registry.engines.keys()];
      const near = closest(name, names);
      throw new MaasError('MAAS_USAGE', `there is no engine "${name}"`, {
        hint: near === undefined ? `The engines are ${names.join(', ')}.` : `Did you mean ${near}?`,
      });
    }
    const cache = this.config.cacheDir;
    const missing = await engine.unavailable?.({ root: project?.root ?? process.cwd(), cache });
    if (!missing && !force) {
      return { json: { engine: name, status: 'cached' }, text: `${name} is here already.` };
    }
    if (!engine.install) {
      throw new MaasError('MAAS_USAGE', `maas cannot install ${name}`, {
        hint: missing?.hint ?? 'It needs nothing that npm does not bring.',
      });
    }
    const folder = join(cache, 'engines');
    await mkdir(folder, { recursive: true }).catch((error: unknown) => {
      throw asDiskError(error, `cannot make ${folder}`);
    });
    const unlock = await takeLock(folder, join(folder, 'tmp'), `maas engines install ${name}`);
    try {
      await runTasks(engine.install({ cache, force, signal: this.stopping.signal }), this.reporter.progress);
    } finally {
      await unlock();
      this.reporter.say('');
    }
    return {
      json: { engine: name, status: 'done' },
      text: `${name} is ready: write \`engine: ${name}\` in the config’s train section.`,
    };
  }
}
