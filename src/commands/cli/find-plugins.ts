import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Config } from '@oclif/core';
import { MaasError } from '../../errors.js';

/** Names of the packages that maas takes for plugins when a project's package.json depends on them. */
const patterns = ['maas-plugin-*', '@*/maas-plugin-*'];

/**
 * The package whose dependencies are looked through for plugins: the nearest one at or above the config file, or the
 * current folder. Commands come from plugins too, so this has to be known before flags are parsed.
 */
export function findProjectPackage(argv: readonly string[], cwd: string): string | undefined {
  let folder = resolve(cwd, dirname(readConfigFlag(argv) ?? 'maas.config.yaml'));
  for (;;) {
    if (existsSync(join(folder, 'package.json'))) return folder;
    const parent = dirname(folder);
    if (parent === folder) return undefined;
    folder = parent;
  }
}

export function pluginAdditions(folder: string | undefined): { core: string[]; path: string } | undefined {
  return folder === undefined ? undefined : { core: patterns, path: folder };
}

/**
 * oclif only warns about a plugin that it cannot load; a config that names its parts would fail oddly later.
 * @throws MaasError MAAS_PLUGIN_FAILED
 */
export function refuseMissingPlugins(config: Config, folder: string | undefined): void {
  if (folder === undefined) return;
  const file = join(folder, 'package.json');
  const { dependencies = {} } = JSON.parse(readFileSync(file, 'utf8')) as {
    dependencies?: Record<string, string>;
  };
  const wanted = Object.keys(dependencies).filter((name) => /^(@[^/]+\/)?maas-plugin-./.test(name));
  const missing = wanted.filter((name) => !config.plugins.has(name));
  if (missing.length > 0) {
    throw new MaasError('MAAS_PLUGIN_FAILED', `cannot load the plugin ${missing.join(', ')}`, {
      place: { file },
      hint: 'Run `npm install`; if that does not help, report it to the plugin’s author.',
    });
  }
}

function readConfigFlag(argv: readonly string[]): string | undefined {
  for (const [index, word] of argv.entries()) {
    if (word === '--') return undefined;
    if (word === '--config' || word === '-c') return argv[index + 1];
    if (word.startsWith('--config=')) return word.slice('--config='.length);
  }
  return undefined;
}
