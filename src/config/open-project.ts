import { dirname } from 'node:path';
import type { Config } from '@oclif/core';
import { z } from 'zod';
import type { Project, Registry } from '../plugin/api.js';
import { loadRegistry } from '../plugin/load-registry.js';
import { addProjectPlugins } from '../plugin/project-plugins.js';
import { pluginList } from './compose.js';
import { toProject } from './load.js';
import { find, placeOf, type Located } from './located.js';
import { readConfig, type ReadOptions } from './read.js';
import { validate } from './validate.js';

export interface OpenOptions extends ReadOptions {
  /** The running command's `this.config`. */
  readonly oclif: Config;
  /** Those that the command reads: the built-ins' others are neither loaded nor checked. Undefined for all. */
  readonly sections?: readonly string[] | undefined;
  /** The command line names a model: the file needs neither `name` nor `data`. */
  readonly modelGiven?: boolean | undefined;
}

/**
 * What every command starts with: the project's config and everything its plugins bring. The `plugins` list is read
 * first, since plugins add to the schema that the rest of the file must meet.
 *
 * @throws MaasError as `loadProject`, and MAAS_PLUGIN_FAILED or MAAS_PLUGIN_CONFLICT.
 */
export async function openProject({
  oclif,
  sections,
  modelGiven,
  ...options
}: OpenOptions): Promise<{ project: Project; registry: Registry }> {
  const root = await readConfig(options);
  const requests = readPluginList(root).map((specifier, index) => ({
    specifier,
    place: placeOf(find(root, ['plugins', index]).nearest.origin),
  }));
  await addProjectPlugins(oclif, dirname(options.file), requests);
  // A plugin may build on any other part.
  const registry = await loadRegistry(oclif, requests.length === 0 && sections ? { sections } : {});
  const project = await toProject(root, options.file, registry, {
    cache: oclif.cacheDir,
    overrides: options.set,
    modelGiven,
  });
  return { project, registry };
}

function readPluginList(root: Located): string[] {
  // A file that is no mapping at all is left to the validation of the whole.
  if (!(root.content instanceof Map)) return [];
  return validate(root, z.looseObject({ plugins: pluginList })).plugins;
}
