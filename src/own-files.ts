import { existsSync } from 'node:fs';

/**
 * A file of this very package by its path in there, such as bin/run.js. What runs lies in src/ or in dist/, the latter in files
 * that hold many modules: no path relative to a module would do.
 */
export function ownFile(path: string): URL {
  let folder = new URL('.', import.meta.url);
  while (!existsSync(new URL('package.json', folder)) && folder.pathname !== '/')
    folder = new URL('..', folder);
  return new URL(path, folder);
}
