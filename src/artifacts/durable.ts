import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { asDiskError } from '../errors.js';

/** Runs `work`; what the operating system refuses becomes MAAS_DISK with what was being done. */
export async function onDisk<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asDiskError(error, doing);
  }
}

/** True for "there is no such file". */
export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

/** Has the folder's entries (names, renames) on the disk. */
export async function syncFolder(path: string): Promise<void> {
  // Windows cannot open a folder; NTFS journals the entries by itself.
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Makes the folder `path` below `root`, `root` too when it is not there, and has every new entry on the disk. */
export async function makeFolder(path: string, root: string): Promise<void> {
  if ((await mkdir(path, { recursive: true })) === undefined) return;
  for (let folder = path; folder !== dirname(root); folder = dirname(folder)) {
    await syncFolder(dirname(folder));
  }
}

/** Writes a file whole or not at all: a temporary file in `tmp` (same filesystem), fsync, rename, fsync of the folder. */
export async function replaceFile(path: string, content: string | Uint8Array, tmp: string): Promise<void> {
  const draft = join(tmp, randomUUID());
  try {
    await writeSynced(draft, content);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Writes a new file and has its content on the disk. */
export async function writeSynced(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

export interface Listing {
  /** Paths of the regular files, relative, with forward slashes, sorted by UTF-16 code units. */
  readonly files: readonly string[];
  /** The same for folders, without the top one. */
  readonly folders: readonly string[];
  /** Links, sockets, devices: nothing that an artifact may hold. */
  readonly others: readonly string[];
}

/** Everything below a folder. Links are listed, not followed. */
export async function listTree(top: string): Promise<Listing> {
  const files: string[] = [];
  const folders: string[] = [];
  const others: string[] = [];
  const visit = async (prefix: string): Promise<void> => {
    for (const entry of await readdir(join(top, prefix), { withFileTypes: true })) {
      const path = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
      if (entry.isDirectory()) {
        folders.push(path);
        await visit(path);
      } else (entry.isFile() ? files : others).push(path);
    }
  };
  await visit('');
  return { files: files.sort(), folders: folders.sort(), others: others.sort() };
}
