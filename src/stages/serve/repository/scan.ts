import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** A version that lies on disk. */
export interface Found {
  /** Folder of a release, or an .onnx file. */
  readonly path: string;
  readonly kind: 'release' | 'file';
  /** Another one for other content: place, file and time of writing. */
  readonly identity: string;
}

export interface FoundModel {
  /** Oldest first: by number, where names hold numbers. */
  readonly versions: ReadonlyMap<string, Found>;
  /** Links beside the versions, such as `stable` → `3`. */
  readonly aliases: ReadonlyMap<string, string>;
}

/**
 * Looks through a folder of models: MODEL/VERSION/ with model.onnx in it, or with a whole release; MODEL/ with the same
 * without versions; or MODEL.onnx. A link to a sibling version is an alias. What holds none of these is passed over.
 * @throws the file system's error when the folder itself cannot be read.
 */
export async function scanModels(folder: string): Promise<Map<string, FoundModel>> {
  const models = new Map<string, FoundModel>();
  for (const name of await list(folder)) {
    const path = join(folder, name);
    const single = name.endsWith('.onnx') ? await lookAtFile(path) : await lookAt(path);
    const model = single
      ? { versions: new Map([['1', single]]), aliases: new Map() }
      : await scanVersions(path);
    if (model.versions.size > 0) models.set(single ? name.replace(/\.onnx$/, '') : name, model);
  }
  return models;
}

async function scanVersions(folder: string): Promise<FoundModel> {
  const versions = new Map<string, Found>();
  const aliases = new Map<string, string>();
  const names = await list(folder).catch(() => []);
  const home = await realpath(folder).catch(() => folder);
  for (const name of names) {
    const path = join(folder, name);
    const target = await realpath(path).catch(() => undefined);
    if (target === undefined) continue;
    if (dirname(target) === home && basename(target) !== name) aliases.set(name, basename(target));
    else {
      const found = await lookAt(path);
      if (found) versions.set(name, found);
    }
  }
  return { versions, aliases };
}

/** Version 10 comes behind version 9. What is hidden is somebody's work in progress. */
async function list(folder: string): Promise<string[]> {
  const names = await readdir(folder);
  return names
    .filter((name) => !name.startsWith('.'))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

async function lookAt(folder: string): Promise<Found | undefined> {
  const release = await identify(join(folder, 'manifest.json'));
  if (release !== undefined) return { path: folder, kind: 'release', identity: release };
  return lookAtFile(join(folder, 'model.onnx'));
}

async function lookAtFile(path: string): Promise<Found | undefined> {
  const identity = await identify(path);
  return identity === undefined ? undefined : { path, kind: 'file', identity };
}

/** Where a path points, and what lies there: a file that was made anew under the same name is another one. */
export async function identify(path: string): Promise<string | undefined> {
  try {
    const real = await realpath(path);
    const { ino, mtimeMs, size } = await stat(real);
    return `${real}:${ino}:${mtimeMs}:${size}`;
  } catch {
    return undefined;
  }
}
