import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { glob } from 'tinyglobby';
import { digestFile, type Json } from '../../../../artifacts/index.js';
import { placeIn } from '../../../../config/index.js';
import { MaasError } from '../../../../errors.js';
import type { Project } from '../../../../plugin/api.js';
import { commandOptions } from './options.js';

/**
 * What can change the trainer's result beside its options: the files that its command names or `inputs` finds, and what
 * `versions` prints.
 * @throws MaasError MAAS_CONFIG_INVALID for a pattern that finds nothing, or a version that cannot be told.
 */
export async function keyOf(
  given: Readonly<Record<string, unknown>>,
  project: Project,
  signal: AbortSignal,
): Promise<Record<string, Json>> {
  const { run, inputs, versions, env } = commandOptions.parse(given);
  const place = (path: readonly (string | number)[]) =>
    placeIn(project, ['train', 'engine', 'command', ...path]);
  const files = new Set(await namedFiles(run, project.root));
  for (const [index, pattern] of inputs.entries()) {
    const found = await glob([pattern], {
      cwd: project.root,
      ignore: ['**/node_modules/**', '**/__pycache__/**', '.maas/**'],
    });
    if (found.length === 0) {
      throw new MaasError('MAAS_CONFIG_INVALID', `no file goes by ${pattern}`, {
        place: place(['inputs', index]),
        hint: 'Patterns are relative to the config file: src/**/*.py.',
      });
    }
    for (const file of found) files.add(file);
  }
  const digests: Record<string, Json> = {};
  for (const file of [...files].sort())
    digests[file] = await digestFile(join(project.root, file), { signal });
  const stated: Record<string, Json> = {};
  for (const [name, command] of Object.entries(versions)) {
    const result = await execa(command, {
      shell: true,
      cwd: project.root,
      env,
      reject: false,
      cancelSignal: signal,
      forceKillAfterDelay: 1000,
    });
    signal.throwIfAborted();
    if (result.exitCode !== 0) {
      const why = result.stderr.trim().split('\n').at(-1) ?? '';
      throw new MaasError(
        'MAAS_CONFIG_INVALID',
        `the version of ${name} cannot be told: ${why || result.shortMessage}`,
        {
          place: place(['versions', name]),
          hint: 'Its command must print the version and end with exit code 0.',
        },
      );
    }
    stated[name] = result.stdout.trim();
  }
  return { files: digests, versions: stated };
}

/** Words of a command line that are files of the project. */
async function namedFiles(run: string, root: string): Promise<string[]> {
  const words = new Set(run.split(/[\s'"=;&|()<>]+/).filter((word) => word !== '' && !word.startsWith('/')));
  const found: string[] = [];
  for (const word of words) {
    const isFile = await stat(join(root, word)).then(
      (entry) => entry.isFile(),
      () => false,
    );
    if (isFile && !word.split('/').includes('..')) found.push(word.replace(/^\.\//, ''));
  }
  return found;
}
