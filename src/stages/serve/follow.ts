import { watch, type FSWatcher } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface FollowOptions {
  /** Link to the current release, or a file. */
  readonly link: string;
  /** The file whose making anew tells of a change, below what the link points to. Default `manifest.json`. */
  readonly mark?: string;
  /** Loads the release in this folder and switches to it, or throws and leaves the old one at work. */
  readonly open: (folder: string) => Promise<void>;
  /** Told when a release is refused. */
  readonly onRefused: (folder: string, error: unknown) => void;
  /** Milliseconds between looks at the link where the file system tells nothing. Default 1000. */
  readonly pollInterval?: number;
}

export interface Follower {
  /** Looks no more; resolves when a load under way has ended. */
  stop(): Promise<void>;
}

/**
 * Opens what the link points to, and from then on whatever it points to next. The file system's own notice makes it
 * quick, and a slow poll makes it sure: notices get lost on network mounts and when folders are swapped.
 * @throws what `open` throws for the first release.
 */
export async function followLink(options: FollowOptions): Promise<Follower> {
  const { link, mark, open, onRefused, pollInterval = 1000 } = options;
  let seen = await openFirst(options);
  let stopped = false;
  let again = false;
  let work: Promise<void> | undefined;

  const look = async (): Promise<void> => {
    do {
      again = false;
      const now = await identify(link, mark);
      // A link that is gone for the moment is no reason to stop serving what it pointed to.
      if (stopped || now === undefined || now.identity === seen) continue;
      seen = now.identity;
      await open(now.folder).catch((error: unknown) => {
        onRefused(now.folder, error);
      });
    } while (again && !stopped);
    work = undefined;
  };
  const poke = (): void => {
    again = true;
    if (!stopped) work ??= look();
  };

  const watcher = watchFolder(link, poke);
  const timer = setInterval(poke, pollInterval);
  poke();
  return {
    async stop() {
      stopped = true;
      clearInterval(timer);
      watcher?.close();
      await work;
    },
  };
}

/** Opens the first release; when the link moved on meanwhile, the one that it points to then. */
async function openFirst({ link, mark, open }: FollowOptions): Promise<string | undefined> {
  for (;;) {
    const before = await identify(link, mark);
    try {
      await open(before?.folder ?? link);
      return before?.identity;
    } catch (error) {
      const after = await identify(link, mark);
      if (after === undefined || after.identity === before?.identity) throw error;
    }
  }
}

/**
 * Where a link points, and what lies there: a folder that was made anew under the same name is another release. A
 * refused one is tried again only when this changes.
 */
async function identify(
  link: string,
  mark = 'manifest.json',
): Promise<{ folder: string; identity: string } | undefined> {
  try {
    const folder = await realpath(link);
    const { ino, mtimeMs } = await stat(join(folder, mark));
    return { folder, identity: `${folder}:${ino}:${mtimeMs}` };
  } catch {
    return undefined;
  }
}

/** A switch by rename changes the folder that the link is in, not the link's file. */
function watchFolder(link: string, onChange: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(dirname(link), (_event, name) => {
      if (name === null || name === basename(link)) onChange();
    });
    watcher.on('error', () => {
      watcher.close();
    });
    return watcher;
  } catch {
    return undefined;
  }
}
