import { readFile, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MaasError } from '../errors.js';
import { canonicalJson } from './canonical-json.js';
import { isDigest } from './digest.js';
import { isMissing, makeFolder, replaceFile } from './durable.js';
import type { StageRecord } from './store.js';

/** Paths of a stage's records in `.maas`. */
export function recordPaths(root: string, stage: string) {
  const cache = join(root, 'cache', stage);
  return {
    pointer: join(root, 'stages', `${stage}.json`),
    cache,
    cached: (key: string) => join(cache, `${key}.json`),
  };
}

/** Writes a record whole or not at all. */
export async function writeRecord(
  path: string,
  record: StageRecord,
  root: string,
  tmp: string,
): Promise<void> {
  await makeFolder(dirname(path), root);
  await replaceFile(path, `${canonicalJson(record)}\n`, tmp);
}

/**
 * Reads a record, or undefined when there is none.
 * @throws MaasError MAAS_ARTIFACT_CORRUPT when the file does not hold a record.
 */
export async function readRecord(path: string, stage: string): Promise<StageRecord | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  const record = parse(text);
  if (record?.stage === stage) return record;
  throw new MaasError('MAAS_ARTIFACT_CORRUPT', `the record of ${stage} cannot be read`, {
    place: { file: path },
    hint: `Run \`maas ${stage} --force\` to make it again.`,
    details: { stage, damage: 'corrupt' },
  });
}

/** All cached records of a stage, the newest first. Files that hold none are passed over. */
export async function listRecords(cache: string, stage: string): Promise<StageRecord[]> {
  const records: StageRecord[] = [];
  for (const name of await readdirOrNone(cache)) {
    if (!name.endsWith('.json')) continue;
    const record = await readRecord(join(cache, name), stage).catch(() => undefined);
    if (record !== undefined) records.push(record);
  }
  return records.sort((a, b) => b.finishedAt.localeCompare(a.finishedAt));
}

export async function removeRecord(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** Names in a folder; none when there is no such folder. */
export async function readdirOrNone(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function parse(text: string): StageRecord | undefined {
  let value: Partial<Record<keyof StageRecord, unknown>> | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    return undefined;
  }
  const whole =
    typeof value?.stage === 'string' &&
    isDigest(String(value.digest)) &&
    isDigest(String(value.key)) &&
    isObject(value.parts) &&
    isObject(value.measured) &&
    Array.isArray(value.notes) &&
    typeof value.finishedAt === 'string' &&
    typeof value.seconds === 'number';
  return whole ? (value as StageRecord) : undefined;
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
