import { existsSync } from 'node:fs';

/**
 * A file of this very package by its path in there, such as bin/run.js. What runs lies in src/ or in dist/, the latter in files
 * that hold many modules: no path relative to a module would do.
 */
export function ownFile(path: string): URL {
  for (let folder = new URL('.', import.meta.url); ;) {
    const above = new URL('..', folder);
    if (existsSync(new URL('package.json', folder)) || above.href === folder.href)
      return new URL(path, folder);
    folder = above;
  }
}
