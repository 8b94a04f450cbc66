import { z } from 'zod';
import { locate } from './locate.js';
import { override } from './override.js';
import { parseYaml } from './parse-yaml.js';
import { SourceText } from './source-text.js';
import { validate } from './validate.js';

/**
 * One section of a config that is in no file: its defaults, and what `--set section.key=value` says.
 * @throws MaasError MAAS_USAGE, MAAS_CONFIG_INVALID, MAAS_CONFIG_UNKNOWN_KEY, as for a file.
 */
export function readSection<Options>(
  name: string,
  schema: z.ZodType<Options>,
  set: readonly string[] = [],
): Options {
  const source = new SourceText('--set', `${name}: {}`, false);
  const root = set.reduce(override, locate(parseYaml(source), { source }));
  return validate(root, z.strictObject({ [name]: schema }))[name] as Options;
}
