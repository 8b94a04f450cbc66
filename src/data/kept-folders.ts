import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { asDiskError } from '../errors.js';

/** Milliseconds after which a folder that nobody finished is taken to be left behind by a kill. */
const stale = 24 * 60 * 60 * 1000;

/** Folders of what can be made again, by the digest of what it was made from. The latest used stay. */
export class KeptFolders {
  /** @param kept How many stay. */
  constructor(
    private readonly root: string,
    private readonly kept: number,
  ) {}

  pathOf(digest: string): string {
    return join(this.root, digest);
  }

  /** Whether anything is kept at all. */
  async isEmpty(): Promise<boolean> {
    return (await this.#names()).length === 0;
  }

  /** Notes that the folder is in use, so that it stays. */
  async touch(digest: string): Promise<void> {
    const now = new Date();
    await utimes(this.pathOf(digest), now, now);
  }

  /** An empty folder to write into. */
  async begin(): Promise<string> {
    const folder = join(this.root, `new-${randomUUID()}`);
    return onDisk(async () => {
      await mkdir(folder, { recursive: true });
      return folder;
    });
  }

  /** Puts a folder that is whole in its place, and removes older ones. */
  async keep(folder: string, digest: string): Promise<void> {
    await onDisk(async () => {
      const goal = this.pathOf(digest);
      await rm(goal, { recursive: true, force: true });
      await rename(folder, goal);
      await this.#prune(digest);
    });
  }

  async #prune(newest: string): Promise<void> {
    const dated = await Promise.all(
      (await this.#names()).map(async (name) => ({ name, at: (await stat(join(this.root, name))).mtimeMs })),
    );
    const done = dated.filter(({ name }) => !name.startsWith('new-') && name !== newest);
    const old = done.sort((a, b) => b.at - a.at).slice(this.kept - 1);
    const left = dated.filter(({ name, at }) => name.startsWith('new-') && Date.now() - at > stale);
    for (const { name } of [...old, ...left]) {
      await rm(join(this.root, name), { recursive: true, force: true });
    }
  }

  async #names(): Promise<string[]> {
    return readdir(this.root).catch(() => []);
  }
}

export async function onDisk<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw asDiskError(error, 'cannot keep the encoded data');
  }
}
