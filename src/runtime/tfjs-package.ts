import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Where an installation of the package may lie. */
interface Places {
  /** Folder of the project. */
  readonly root: string;
  /** maas' own folder of this user. */
  readonly cache?: string;
}

export const packageName = '@tensorflow/tfjs-node';
export const packageVersion = '4.22.0';

/** Where maas keeps what it installs: nothing of it lies in a project. */
export function folderOf(cache: string): string {
  return join(cache, 'engines', 'tfjs-node', packageVersion);
}

/** The addon in a package's folder. Built for version 8 of Node-API, which Node.js has had since 15.12. */
export const addonPath = join('lib', 'napi-v8', 'tfjs_binding.node');

/** A copy of the package whose native part is there: the project's own, or the one that maas installed. */
export function findPackage({ root, cache }: Places): string | undefined {
  const own = resolvePackage(root, packageName);
  const candidates = [own, cache === undefined ? undefined : packageIn(folderOf(cache))];
  return candidates.find((folder) => folder !== undefined && existsSync(join(folder, addonPath)));
}

export function packageIn(folder: string): string {
  return join(folder, 'node_modules', ...packageName.split('/'));
}

/** Folder of a package that the project has. */
export function resolvePackage(root: string, name: string): string | undefined {
  try {
    return dirname(createRequire(join(root, 'package.json')).resolve(`${name}/package.json`));
  } catch {
    return undefined;
  }
}
