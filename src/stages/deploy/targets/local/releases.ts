import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDigest, readEntry } from '../../../../artifacts/digest.js';
import { isMissing, listTree, makeFolder, syncFolder } from '../../../../artifacts/durable.js';
import type { FileEntry } from '../../../../artifacts/manifest.js';
import { manifestName, readArtifact } from '../../../../artifacts/verify.js';
import { MaasError } from '../../../../errors.js';
import type { Release } from '../../../../plugin/api.js';
import { isWhole } from '../../release-folder.js';
import type { Layout } from './layout.js';

/** Digests of the releases that are there, in no order. */
export async function listReleaseFolders({ releases }: Layout): Promise<string[]> {
  try {
    return (await readdir(releases)).filter(isDigest);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/**
 * Has a whole, read-only copy of `release` under its digest. A copy that is damaged is mended file by file and in
 * place, since `current` may point to it.
 */
export async function putRelease(
  layout: Layout,
  release: Release,
  signal: AbortSignal,
): Promise<'new' | 'kept' | 'mended'> {
  const target = join(layout.releases, release.digest);
  await makeFolder(layout.releases, layout.root);
  await makeFolder(layout.tmp, layout.root);
  const there = (await listReleaseFolders(layout)).includes(release.digest);
  if (there && (await isWhole(target))) return 'kept';

  const { manifest } = await readArtifact('deploy', release.path, false);
  const files = Object.entries(manifest.files);
  if (there) {
    await mend(layout, release, target, files, signal);
    return 'mended';
  }
  const draft = join(layout.tmp, randomUUID());
  await mkdir(draft);
  for (const [file, entry] of files) await copyChecked(release.path, draft, file, entry, signal);
  await copyManifest(release, draft);
  for (const folder of (await listTree(draft)).folders) await syncFolder(join(draft, folder));
  await syncFolder(draft);
  await rename(draft, target);
  await syncFolder(layout.releases);
  return 'new';
}

/** Removes a release so that none of its states in between can be taken for a whole one. */
export async function removeRelease(layout: Layout, digest: string): Promise<void> {
  const aside = join(layout.tmp, randomUUID());
  await makeFolder(layout.tmp, layout.root);
  await rename(join(layout.releases, digest), aside);
  await syncFolder(layout.releases);
  await rm(aside, { recursive: true, force: true });
}

async function mend(
  layout: Layout,
  release: Release,
  target: string,
  files: readonly (readonly [string, FileEntry])[],
  signal: AbortSignal,
): Promise<void> {
  const draft = join(layout.tmp, randomUUID());
  await mkdir(draft);
  for (const [file, entry] of files) {
    if (await isSame(join(target, file), entry)) continue;
    await copyChecked(release.path, draft, file, entry, signal);
    await putInPlace(join(draft, file), join(target, file));
  }
  await copyManifest(release, draft);
  await putInPlace(join(draft, manifestName), join(target, manifestName));

  const known = new Set([manifestName, ...files.map(([file]) => file)]);
  const { files: found, others } = await listTree(target);
  for (const stranger of [...found, ...others].filter((path) => !known.has(path))) {
    await rm(join(target, stranger));
  }
  await rm(draft, { recursive: true });
}

async function putInPlace(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await rename(from, to);
  await syncFolder(dirname(to));
}

/** Copies one file (as a reflink where the filesystem has them), and reads the copy back. */
async function copyChecked(
  from: string,
  to: string,
  file: string,
  entry: FileEntry,
  signal: AbortSignal,
): Promise<void> {
  await copyReadOnly(join(from, file), join(to, file));
  const copied = await readEntry(join(to, file), { signal, sync: true });
  if (copied.sha256 === entry.sha256) return;
  throw new MaasError('MAAS_ARTIFACT_CORRUPT', `${file} of the release is not what it was built as`, {
    place: { file: join(from, file) },
    hint: 'Run `maas deploy --force` to build it again.',
  });
}

async function copyManifest(release: Release, to: string): Promise<void> {
  await copyReadOnly(join(release.path, manifestName), join(to, manifestName));
  await readEntry(join(to, manifestName), { sync: true });
}

async function copyReadOnly(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  await chmod(to, 0o444);
}

async function isSame(path: string, entry: FileEntry): Promise<boolean> {
  try {
    return (await readEntry(path)).sha256 === entry.sha256;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
