import { randomUUID } from 'node:crypto';
import { rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDigest } from './digest.js';
import { makeFolder } from './durable.js';
import { listRecords, readRecord, readdirOrNone, recordPaths, removeRecord } from './records.js';
import type { StageRecord } from './store.js';
import { damageOf } from './verify.js';

/** They are small, and there to be compared with each other. */
const keptLogs = 50;

/**
 * Keeps `.maas` bounded: of every stage the newest `keep` cache records and the current one stay, with their
 * artifacts, the newest `keep` work folders and many more logs of runs. Everything else goes. The caller holds the lock.
 */
export async function pruneStore(root: string, tmp: string, keep: number): Promise<void> {
  await makeFolder(tmp, root);
  const remove = async (path: string): Promise<void> => {
    // Out of sight first: a kill halfway must not leave half an artifact under its name.
    const aside = join(tmp, randomUUID());
    await rename(path, aside);
    await rm(aside, { recursive: true, force: true });
  };
  for (const stage of await readdirOrNone(join(root, 'artifacts'))) {
    const kept = await pruneRecords(root, stage, keep);
    if (kept === undefined) continue;
    const folder = join(root, 'artifacts', stage);
    for (const name of await readdirOrNone(folder)) {
      if (isDigest(name) && !kept.has(name)) await remove(join(folder, name));
    }
  }
  for (const [kind, count] of [
    ['work', keep],
    ['runs', keptLogs],
  ] as const) {
    for (const stage of await readdirOrNone(join(root, kind))) {
      const folder = join(root, kind, stage);
      for (const name of (await newestFirst(folder)).slice(count)) await remove(join(folder, name));
    }
  }
}

/** Removes the records beyond `keep`; returns the digests that the others name, or undefined when that is not known. */
async function pruneRecords(root: string, stage: string, keep: number): Promise<Set<string> | undefined> {
  const paths = recordPaths(root, stage);
  let current: StageRecord | undefined;
  try {
    current = await readRecord(paths.pointer, stage);
  } catch (error) {
    // A pointer that cannot be read may point to anything: leave the stage alone.
    if (damageOf(error) !== undefined) return undefined;
    throw error;
  }
  const records = await listRecords(paths.cache, stage);
  const kept = records.filter((record, place) => place < keep || record.key === current?.key);
  for (const record of records) {
    if (!kept.includes(record)) await removeRecord(paths.cached(record.key));
  }
  return new Set([
    ...kept.map((record) => record.digest),
    ...(current === undefined ? [] : [current.digest]),
  ]);
}

async function newestFirst(folder: string): Promise<string[]> {
  const names = await readdirOrNone(folder);
  const dated = await Promise.all(
    names.map(async (name) => ({ name, time: (await stat(join(folder, name))).mtimeMs })),
  );
  return dated.sort((a, b) => b.time - a.time).map(({ name }) => name);
}
