import { mkdir, rename, rm } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { canonicalJson } from './canonical-json.js';
import { digestOf, readEntry } from './digest.js';
import { listTree, makeFolder, onDisk, syncFolder, writeSynced } from './durable.js';
import type { Artifact, FileEntry, Manifest } from './manifest.js';
import type { Staging } from './store.js';
import { damageOf, manifestName, readArtifact } from './verify.js';

export interface StagingPlace {
  /** `.maas`. */
  readonly root: string;
  /** Folder for temporary files, on the same filesystem as `artifacts`. */
  readonly tmp: string;
  /** Folder of the stage's artifacts. */
  readonly artifacts: string;
  readonly stage: string;
}

/** Opens an empty folder in `tmp` that becomes an artifact when it is committed. */
export async function openStaging(place: StagingPlace): Promise<Staging> {
  const path = join(place.tmp, `${place.stage}-${randomUUID()}`);
  await onDisk(`cannot open a folder in ${place.tmp}`, async () => {
    await makeFolder(place.tmp, place.root);
    await mkdir(path);
  });
  return {
    path,
    commit: (facts) =>
      onDisk(`cannot save the artifact of ${place.stage}`, async () => {
        const manifest: Manifest = { ...facts, schemaVersion: 1, files: await sealFiles(path) };
        const content = canonicalJson(manifest);
        await writeSynced(join(path, manifestName), content);
        await syncFolder(path);
        await makeFolder(place.artifacts, place.root);
        const target = join(place.artifacts, digestOf(Buffer.from(content)));
        return moveIntoPlace(place, path, target);
      }),
    discard: () =>
      onDisk(`cannot remove ${path}`, () => rm(path, { recursive: true, force: true, maxRetries: 3 })),
  };
}

/** Digests of all files; on return their bytes and the entries of the folders below `top` are on the disk. */
async function sealFiles(top: string): Promise<Record<string, FileEntry>> {
  const { files, folders, others } = await listTree(top);
  // Both are faults of the stage that wrote them, not of the person who runs it.
  if (others.length > 0)
    throw new Error(`an artifact holds regular files only; ${others.join(', ')} is none`);
  if (files.includes(manifestName))
    throw new Error(`${manifestName} is written by the store, not by a stage`);
  const entries: Record<string, FileEntry> = {};
  for (const file of files) entries[file] = await readEntry(join(top, file), { sync: true });
  for (const folder of folders) await syncFolder(join(top, folder));
  return entries;
}

/** Renames the sealed folder to its digest. An artifact that is there already is kept when whole, replaced when not. */
async function moveIntoPlace(place: StagingPlace, path: string, target: string): Promise<Artifact> {
  try {
    await rename(path, target);
  } catch (error) {
    if (!isTaken(error)) throw error;
    const damage = await readArtifact(place.stage, target, true).then(
      () => undefined,
      (reason: unknown) => {
        if (damageOf(reason) === undefined) throw reason;
        return reason;
      },
    );
    if (damage === undefined) {
      await rm(path, { recursive: true, force: true });
    } else {
      const aside = join(place.tmp, randomUUID());
      await rename(target, aside);
      await rename(path, target);
      await rm(aside, { recursive: true, force: true });
    }
  }
  await syncFolder(dirname(target));
  return readArtifact(place.stage, target, false);
}

function isTaken(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  // Windows says EPERM or EACCES for a rename onto a folder.
  return code === 'ENOTEMPTY' || code === 'EEXIST' || (process.platform === 'win32' && code === 'EPERM');
}
