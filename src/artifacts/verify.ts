import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { MaasError } from '../errors.js';
import { digestOf, readEntry } from './digest.js';
import { isMissing, listTree } from './durable.js';
import type { Artifact, Manifest } from './manifest.js';

export const manifestName = 'manifest.json';

/** What is wrong with an artifact: nothing is there, or what is there is not what was committed. */
export type Damage = 'gone' | 'corrupt';

/**
 * Reads a committed artifact and, with `verify`, every byte of it.
 * The manifest's file holds canonical JSON, so `sha256sum manifest.json` prints the name of the folder.
 * @throws MaasError MAAS_ARTIFACT_CORRUPT naming the first file that is not what was committed.
 */
export async function readArtifact(stage: string, path: string, verify: boolean): Promise<Artifact> {
  const digest = basename(path);
  const damaged = (damage: Damage, text: string, file?: string): MaasError =>
    new MaasError('MAAS_ARTIFACT_CORRUPT', `artifact ${digest.slice(0, 12)} of ${stage} ${text}`, {
      place: { file: file === undefined ? path : join(path, file) },
      hint: `Run \`maas ${stage} --force\` to make it again.`,
      details: { stage, digest, damage, ...(file !== undefined && { file }) },
    });
  const listing = await listTree(path).catch((error: unknown) => {
    throw isMissing(error) ? damaged('gone', 'is gone') : error;
  });
  if (!listing.files.includes(manifestName)) {
    throw damaged('corrupt', `has lost ${manifestName}`, manifestName);
  }
  const bytes = await readFile(join(path, manifestName));
  if (digestOf(bytes) !== digest) {
    throw damaged('corrupt', `has another ${manifestName} than it was committed with`, manifestName);
  }
  const manifest = parseManifest(bytes.toString('utf8'));
  if (manifest === undefined)
    throw damaged('corrupt', 'is in a format that this maas does not read', manifestName);
  if (manifest.stage !== stage) throw damaged('corrupt', `was made by ${manifest.stage}`, manifestName);
  if (!verify) return { digest, path, manifest };

  for (const [file, entry] of Object.entries(manifest.files)) {
    if (!listing.files.includes(file)) throw damaged('corrupt', `has lost ${file}`, file);
    const found = await readEntry(join(path, file));
    if (found.size !== entry.size) {
      throw damaged('corrupt', `has ${found.size} bytes in ${file}, not ${entry.size}`, file);
    }
    if (found.sha256 !== entry.sha256) throw damaged('corrupt', `has other bytes in ${file}`, file);
  }
  const stranger = [...listing.files, ...listing.others].find(
    (file) => file !== manifestName && !Object.hasOwn(manifest.files, file),
  );
  if (stranger !== undefined)
    throw damaged('corrupt', `holds ${stranger}, which is not part of it`, stranger);
  return { digest, path, manifest };
}

function parseManifest(text: string): Manifest | undefined {
  try {
    const manifest = JSON.parse(text) as Manifest;
    return (manifest.schemaVersion as number) === 1 ? manifest : undefined;
  } catch {
    return undefined;
  }
}

/** The kind of damage that an error of `readArtifact` tells of; undefined for every other error. */
export function damageOf(error: unknown): Damage | undefined {
  if (!(error instanceof MaasError) || error.code !== 'MAAS_ARTIFACT_CORRUPT') return undefined;
  return error.details?.['damage'] === 'gone' ? 'gone' : 'corrupt';
}
