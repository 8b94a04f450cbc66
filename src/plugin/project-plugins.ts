import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Plugin, type Config } from '@oclif/core';
import { MaasError, type Place } from '../errors.js';

/** One entry of the config's `plugins` list. */
export interface PluginRequest {
  /** Package name, or path that starts with a dot. */
  readonly specifier: string;
  /** Where it is asked for, for messages. */
  readonly place: Place;
}

/**
 * Loads the plugins that a project lists in its config, as oclif plugins, and adds them to the running configuration:
 * their hooks run from then on. (Commands of theirs do not appear: those were settled before the config was read.)
 *
 * A package is looked for in `node_modules` of the project folder and of the folders above it, as Node.js does; a path
 * is relative to the project folder.
 *
 * @param root The project folder.
 * @returns The names of the plugins' packages.
 * @throws MaasError MAAS_PLUGIN_FAILED, at its place in the config, when one is not there or is no oclif plugin.
 */
export async function addProjectPlugins(
  config: Config,
  root: string,
  requests: readonly PluginRequest[],
): Promise<string[]> {
  const names: string[] = [];
  for (const request of requests) {
    const plugin = await loadPlugin(request, root);
    if (names.includes(plugin.name))
      fail(request, `"${plugin.name}" is listed twice`, 'Keep one of the two.');
    // Set, not merely added: the project's copy wins over one that is installed for the user.
    config.plugins.set(plugin.name, plugin);
    names.push(plugin.name);
  }
  return names;
}

async function loadPlugin(request: PluginRequest, root: string): Promise<Plugin> {
  const folder = await findFolder(request, root);
  // 'user' is oclif's word for plugins that are not part of the program itself.
  const plugin = new Plugin({ root: folder, type: 'user', ignoreManifest: true });
  try {
    await plugin.load();
  } catch (cause) {
    fail(
      request,
      `cannot load the plugin "${request.specifier}": ${(cause as Error).message}`,
      undefined,
      cause,
    );
  }
  if (!plugin.hooks['maas:register']) {
    fail(
      request,
      `"${request.specifier}" is no maas plugin: its package.json names no maas:register hook`,
      'A plugin has {"oclif": {"hooks": {"maas:register": "./FILE.js"}}} in its package.json.',
    );
  }
  return plugin;
}

async function findFolder(request: PluginRequest, root: string): Promise<string> {
  const { specifier } = request;
  if (/^\.\.?([/\\]|$)/.test(specifier)) {
    const folder = resolve(root, specifier);
    if (await isPackage(folder)) return folder;
    return fail(
      request,
      `there is no package at ${specifier}`,
      `It would need the file ${join(specifier, 'package.json')}.`,
    );
  }
  if (!/^(@[\w.-]+\/)?[\w.-]+$/.test(specifier)) {
    return fail(
      request,
      `"${specifier}" is neither a package name nor a path`,
      'Write a package name, or a path that starts with ./ or ../',
    );
  }
  for (let folder = root, above = ''; folder !== above; above = folder, folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', specifier);
    if (await isPackage(candidate)) return candidate;
  }
  return fail(
    request,
    `the plugin "${specifier}" is not installed`,
    `Run \`npm install ${specifier}\` in ${root}.`,
  );
}

async function isPackage(folder: string): Promise<boolean> {
  return access(join(folder, 'package.json')).then(
    () => true,
    () => false,
  );
}

function fail({ place }: PluginRequest, message: string, hint?: string, cause?: unknown): never {
  throw new MaasError('MAAS_PLUGIN_FAILED', message, { place, hint, cause });
}
