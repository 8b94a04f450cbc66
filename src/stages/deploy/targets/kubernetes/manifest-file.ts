import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { isMissing, makeFolder, replaceFile } from '../../../../artifacts/durable.js';
import { MaasError } from '../../../../errors.js';
import { asDocuments } from '../../../kubectl.js';
import type { Manifest } from './manifests.js';

/** Writes objects into a file of documents; it is the new one or the old one at any time. */
export async function writeManifests(file: string, manifests: readonly Manifest[]): Promise<void> {
  const text = asDocuments(manifests);
  await makeFolder(dirname(file), dirname(file));
  await replaceFile(file, text, dirname(file));
}

/**
 * @returns nothing when there is no such file.
 * @throws MaasError MAAS_TARGET_NOT_EMPTY when it is no YAML: something that maas has not written.
 */
export async function readManifests(file: string): Promise<Manifest[]> {
  let text;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  const documents = parseAllDocuments(text);
  if (!Array.isArray(documents)) return [];
  const broken = documents.flatMap(({ errors }) => errors)[0];
  if (broken === undefined) return documents.map((document) => document.toJS() as Manifest);
  throw new MaasError(
    'MAAS_TARGET_NOT_EMPTY',
    `the file for the manifests cannot be read: ${broken.message}`,
    {
      place: { file },
      hint: 'Move it away, or choose another file in deploy.target.',
    },
  );
}
