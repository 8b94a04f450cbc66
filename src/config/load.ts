import { dirname } from 'node:path';
import type { Project, Registry } from '../plugin/api.js';
import { composeSchema } from './compose.js';
import type { Located } from './located.js';
import { placeWithin, type ConfigPath } from './place.js';
import { readConfig, type ReadOptions } from './read.js';
import { validate } from './validate.js';

export interface LoadOptions extends ReadOptions {
  readonly registry: Registry;
}

/**
 * Reads, validates and freezes the config file.
 * @throws MaasError with a MAAS_CONFIG_* code and its place in the file, or what `readConfig` throws.
 */
export async function loadProject({ registry, ...options }: LoadOptions): Promise<Project> {
  return toProject(await readConfig(options), options.file, registry, { overrides: options.set });
}

/** The second half of loading, for those who read the file earlier to learn its plugins. */
export async function toProject(
  root: Located,
  file: string,
  registry: Registry,
  {
    cache,
    overrides = [],
    modelGiven,
  }: {
    readonly cache?: string;
    readonly overrides?: readonly string[] | undefined;
    readonly modelGiven?: boolean | undefined;
  },
): Promise<Project> {
  // A server of a model that the command line names has no use for it.
  const data = modelGiven === true ? undefined : (await import('../data/config.js')).dataSchema;
  const config = deepFreeze(validate(root, composeSchema(registry, data)));
  return Object.freeze({
    name: config['name'] as string,
    seed: config['seed'] as number,
    root: dirname(file),
    configFile: file,
    config,
    ...(overrides.length > 0 && { overrides: [...overrides] }),
    ...(cache !== undefined && { cache }),
    placeOf: (path: ConfigPath) => placeWithin(root, path),
  });
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  const isPlain =
    Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value) as null);
  if (!isPlain) return value;
  Object.values(value).forEach(deepFreeze);
  return Object.freeze(value);
}
