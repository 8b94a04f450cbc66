import { isDigest } from '../../../../artifacts/digest.js';
import { type History, type Switch, tellHistory } from '../local/journal.js';
import { type ImageManifest, mediaTypes, releaseAnnotation } from './blob.js';
import type { Layout } from './layout.js';
import type { Place } from './place.js';

/** Tag of the journal: an artifact with one blob, beside the images it tells of. */
export const historyTag = 'maas-history';

/** The release that a tag's image holds. */
export async function releaseOf(place: Place, tag: string): Promise<string | undefined> {
  const descriptor = await place.resolve(tag);
  if (descriptor === undefined) return undefined;
  const release = (await place.readManifest(descriptor)).annotations?.[releaseAnnotation];
  return release !== undefined && isDigest(release) ? release : undefined;
}

/** Releases of the place: each image is tagged with the digest of its release. */
export async function releaseTags(place: Place): Promise<string[]> {
  return (await place.tags()).filter(isDigest);
}

export async function readHistory(place: Place, current: string | undefined): Promise<History> {
  return tellHistory(await readText(place), current);
}

async function readText(place: Place): Promise<string> {
  const descriptor = await place.resolve(historyTag);
  if (descriptor === undefined) return '';
  const [journal] = (await place.readManifest(descriptor)).layers;
  return journal === undefined ? '' : (await place.readBlob(journal.digest)).toString('utf8');
}

/** Adds a line to the journal. Two who deploy to one registry at once may lose one of two lines, never the journal. */
export async function appendSwitch(place: Place, layout: Layout, entry: Switch): Promise<void> {
  const text = `${await readText(place)}\n${JSON.stringify(entry)}`;
  const journal = await layout.writeBlob(mediaTypes.history, [Buffer.from(text)]);
  const config = await layout.writeBlob(mediaTypes.empty, [Buffer.from('{}')]);
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: mediaTypes.history,
    config,
    layers: [journal],
  };
  await place.publish(historyTag, await layout.writeJson(mediaTypes.manifest, manifest));
}
