import { rm } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { openStaging } from './commit.js';
import { isDigest } from './digest.js';
import { makeFolder, onDisk } from './durable.js';
import { takeLock } from './lock.js';
import { pruneStore } from './prune.js';
import { readRecord, readdirOrNone, recordPaths, writeRecord } from './records.js';
import type { ArtifactStore } from './store.js';
import { readArtifact } from './verify.js';

/**
 * The store in the folder `root` (a project's `.maas`, absolute path). Nothing is read or made until a method is
 * called, and methods that only read make nothing.
 *
 *   artifacts/<stage>/<digest>/   manifest.json and the files
 *   stages/<stage>.json           the stage's last record: its pointer
 *   cache/<stage>/<key>.json      records of earlier runs
 *   work/<stage>/<key>/           checkpoints of a run that has not ended
 *   runs/<stage>/<key>/           logs of runs: how they went, and when
 *   tmp/                          drafts; swept by whoever takes the lock
 *   lock                          who is at work
 *
 * Every method throws MAAS_DISK when the operating system refuses to read or write.
 */
export function openStore(root: string): ArtifactStore {
  if (!isAbsolute(root)) throw new TypeError(`the store needs an absolute path, not ${root}`);
  const tmp = join(root, 'tmp');
  const recordsOf = (stage: string) => recordPaths(root, checkName(stage));
  const workOf = (stage: string, key: string) => join(root, 'work', checkName(stage), checkDigest(key));

  return {
    root,
    current: (stage) =>
      onDisk(`cannot read the record of ${stage}`, () => readRecord(recordsOf(stage).pointer, stage)),
    cached: (stage, key) =>
      onDisk(`cannot read a record of ${stage}`, () =>
        // An unreadable record of the cache saves nothing and costs one more run.
        readRecord(recordsOf(stage).cached(checkDigest(key)), stage).catch(() => undefined),
      ),
    record: (record) =>
      onDisk(`cannot write the record of ${record.stage}`, async () => {
        await makeFolder(tmp, root);
        const paths = recordsOf(record.stage);
        await writeRecord(paths.cached(checkDigest(record.key)), record, root, tmp);
        await writeRecord(paths.pointer, record, root, tmp);
      }),
    open: (stage, digest, { verify = true } = {}) =>
      onDisk(`cannot read the artifact of ${stage}`, () =>
        readArtifact(stage, join(root, 'artifacts', checkName(stage), checkDigest(digest)), verify),
      ),
    stage: (stage) => openStaging({ root, tmp, artifacts: join(root, 'artifacts', checkName(stage)), stage }),
    work: (stage, key) =>
      onDisk(`cannot make a work folder for ${stage}`, async () => {
        const path = workOf(stage, key);
        await makeFolder(path, root);
        return path;
      }),
    removeWork: (stage, key) =>
      onDisk(`cannot remove the work folder of ${stage}`, () =>
        rm(workOf(stage, key), { recursive: true, force: true, maxRetries: 3 }),
      ),
    lock: (doing) =>
      onDisk(`cannot lock ${root}`, async () => {
        const release = await takeLock(root, tmp, doing);
        try {
          // Whoever made these is dead, or waits for the lock and tries again.
          for (const name of await readdirOrNone(tmp)) {
            await rm(join(tmp, name), { recursive: true, force: true, maxRetries: 3 });
          }
        } catch (error) {
          await release();
          throw error;
        }
        return () => onDisk(`cannot unlock ${root}`, release);
      }),
    prune: (keep) => onDisk(`cannot clean up ${root}`, () => pruneStore(root, tmp, keep)),
  };
}

/** Names come from plugins and digests from files: neither may lead out of the store. */
function checkName(stage: string): string {
  if (!/^[a-z][a-z0-9-]*$/.test(stage))
    throw new TypeError(`${JSON.stringify(stage)} is no name for a stage`);
  return stage;
}

function checkDigest(text: string): string {
  if (!isDigest(text)) throw new TypeError(`${JSON.stringify(text)} is no sha256`);
  return text;
}
