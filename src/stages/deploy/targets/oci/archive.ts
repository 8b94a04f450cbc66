import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { makeFolder } from '../../../../artifacts/durable.js';
import { canonicalJson } from '../../../../artifacts/index.js';
import { type Descriptor, mediaTypes } from './blob.js';
import type { Layout } from './layout.js';
import { packLayer } from './tar-layer.js';

/**
 * One image of a layout as the tar that `docker load` and `podman load` take, and that skopeo reads as `docker-archive:` and
 * `oci-archive:` alike: an OCI layout with docker's `manifest.json` beside its index. The same image gives the same bytes.
 * @param name Repository and tag that the image is to be known by, such as `iris:latest`.
 */
export async function packArchive(layout: Layout, image: Descriptor, name: string): Promise<Readable> {
  const { config, layers } = await layout.readManifest(image);
  const pathOf = ({ digest }: Descriptor): string => `blobs/${digest.replace(':', '/')}`;
  const { mediaType, digest, size } = image;
  const annotations = { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name };
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [{ mediaType, digest, size, annotations }],
  };
  const manifest = [{ Config: pathOf(config), RepoTags: [name], Layers: layers.map(pathOf) }];
  const blobs = new Map(
    [image, config, ...layers].map((blob) => [pathOf(blob), layout.blobPath(blob.digest)]),
  );
  return packLayer([
    { path: 'oci-layout', from: Buffer.from('{"imageLayoutVersion":"1.0.0"}') },
    { path: 'index.json', from: Buffer.from(canonicalJson(index)) },
    { path: 'manifest.json', from: Buffer.from(canonicalJson(manifest)) },
    ...[...blobs].map(([path, from]) => ({ path, from })),
  ]);
}

/** The same as a file, which is there whole or as it was. */
export async function writeArchive(
  layout: Layout,
  image: Descriptor,
  name: string,
  file: string,
): Promise<void> {
  await makeFolder(dirname(file), dirname(file));
  const draft = join(dirname(file), `.${basename(file)}.${randomUUID()}`);
  try {
    await pipeline(await packArchive(layout, image, name), createWriteStream(draft, { flush: true }));
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
