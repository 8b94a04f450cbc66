import { randomUUID } from 'node:crypto';
import { lstat, readlink, rename, symlink } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { isMissing, makeFolder, syncFolder } from '../../../../artifacts/durable.js';
import { MaasError } from '../../../../errors.js';
import type { Layout } from './layout.js';

/** Digest that `current` points to, and when it was made to (ISO 8601). */
export interface Current {
  readonly digest: string;
  readonly switchedAt: string;
}

/** @throws MaasError MAAS_TARGET_NOT_EMPTY when something that is no link lies at its place. */
export async function readCurrent({ link }: Layout): Promise<Current | undefined> {
  try {
    const { mtime } = await lstat(link);
    return { digest: basename(await readlink(link)), switchedAt: mtime.toISOString() };
  } catch (error) {
    if (isMissing(error)) return undefined;
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    throw new MaasError('MAAS_TARGET_NOT_EMPTY', 'the deploy folder holds a `current` that is not a link', {
      place: { file: link },
      hint: 'Move it away, or choose another folder in deploy.target.',
      cause: error,
    });
  }
}

/** Points `current` to another release. Whoever opens it meanwhile gets the old one or the new one, never none. */
export async function pointCurrent(layout: Layout, digest: string): Promise<void> {
  await makeFolder(layout.tmp, layout.root);
  const draft = join(layout.tmp, randomUUID());
  await symlink(relative(layout.root, join(layout.releases, digest)), draft, 'dir');
  await rename(draft, layout.link);
  await syncFolder(layout.root);
}
