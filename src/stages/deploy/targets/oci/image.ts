import { join } from 'node:path';
import { listTree } from '../../../../artifacts/durable.js';
import type { Release } from '../../../../plugin/api.js';
import { architectures } from './base-image.js';
import { user } from './base-layer.js';
import { type Descriptor, type ImageManifest, type Layer, mediaTypes, releaseAnnotation } from './blob.js';
import type { Layout } from './layout.js';
import type { ImageParts } from './parts.js';
import type { Place } from './place.js';
import { digestStream, gzipEvenly, type LayerFile, packLayer } from './tar-layer.js';

interface ImageConfig {
  readonly config: { readonly ExposedPorts: Readonly<Record<string, unknown>> };
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

export interface ImageBuild {
  readonly layout: Layout;
  readonly release: Release;
  readonly name: string;
  readonly parts: ImageParts;
  readonly signal: AbortSignal;
}

/** Nothing in an image tells when it was made. */
const created = '1970-01-01T00:00:00Z';

/** Writes the image of a release into the layout, and returns its manifest. Layers that are there are taken as they are. */
export async function buildImage({ layout, release, name, parts, signal }: ImageBuild): Promise<Descriptor> {
  const known = await knownLayers(layout);
  const write = (files: readonly LayerFile[]): Promise<Layer> => writeLayer(layout, files, known, signal);
  const below = await layBase(parts.base, write);
  const layers: Layer[] = [...below.layers];
  for (const files of [parts.dependencies, await releaseFiles(release), parts.app]) {
    layers.push(await write(files));
  }
  const contents = [...below.layers.map(() => 'base'), 'dependencies', 'model', 'app'];

  const architecture = architectures[process.arch] ?? process.arch;
  const annotations = {
    'org.opencontainers.image.title': name,
    'org.opencontainers.image.version': release.digest,
    [releaseAnnotation]: release.digest,
  };
  const config = await layout.writeJson(mediaTypes.config, {
    created,
    architecture,
    os: 'linux',
    config: {
      User: `${user}:${user}`,
      ExposedPorts: { [`${parts.port}/tcp`]: {} },
      Env: [...below.env, 'HOME=/tmp', 'NODE_ENV=production', 'ORT_DISABLE_TELEMETRY=1'],
      Entrypoint: [below.node, parts.entry],
      Cmd: [`/${folderOf(release)}`],
      WorkingDir: '/app',
      StopSignal: 'SIGTERM',
      Labels: annotations,
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: contents.map((comment) => ({ created, created_by: 'maas deploy', comment })),
  });
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config,
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
    annotations,
  };
  const descriptor = await layout.writeJson(mediaTypes.manifest, manifest);
  return { ...descriptor, platform: { os: 'linux', architecture } };
}

interface Below {
  readonly layers: readonly Layer[];
  readonly env: readonly string[];
  /** Path of Node, or its name where the base's own PATH leads to it. */
  readonly node: string;
}

async function layBase(
  base: ImageParts['base'],
  write: (files: readonly LayerFile[]) => Promise<Layer>,
): Promise<Below> {
  if ('reference' in base) {
    const ours = new Set(['HOME', 'NODE_ENV', 'ORT_DISABLE_TELEMETRY']);
    const env = base.env.filter((entry) => !ours.has(entry.split('=')[0]!));
    return { layers: base.layers, env, node: 'node' };
  }
  return { layers: [await write(base)], env: ['PATH=/usr/local/bin'], node: '/usr/local/bin/node' };
}

/** A release is known by the name of its folder. */
function folderOf({ digest }: Release): string {
  return `releases/${digest}`;
}

async function releaseFiles(release: Release): Promise<LayerFile[]> {
  const { files } = await listTree(release.path);
  return files.map((file) => ({ path: `${folderOf(release)}/${file}`, from: join(release.path, file) }));
}

async function writeLayer(
  layout: Layout,
  files: readonly LayerFile[],
  known: ReadonlyMap<string, Layer>,
  signal: AbortSignal,
): Promise<Layer> {
  const diffId = await digestStream(packLayer(files, signal));
  const there = known.get(diffId);
  if (there !== undefined && (await layout.holds(there))) return there;
  const blob = await layout.writeBlob(mediaTypes.layer, gzipEvenly(packLayer(files, signal)));
  return { ...blob, diffId };
}

/** Layers of the images in the layout, by what they unpack to: packing them again would take seconds. */
async function knownLayers(layout: Layout): Promise<Map<string, Layer>> {
  const known = new Map<string, Layer>();
  for (const tag of await layout.tags()) {
    const manifest = await layout.readManifest((await layout.resolve(tag))!);
    if (manifest.config.mediaType !== mediaTypes.config) continue;
    const config = JSON.parse(
      (await layout.readBlob(manifest.config.digest)).toString('utf8'),
    ) as ImageConfig;
    manifest.layers.forEach((layer, index) => {
      const diffId = config.rootfs.diff_ids[index]!;
      known.set(diffId, { ...layer, diffId });
    });
  }
  return known;
}

/** The port that the server of an image listens on. */
export async function exposedPort(place: Place, image: Descriptor): Promise<number> {
  const { config } = await place.readManifest(image);
  const text = (await place.readBlob(config.digest)).toString('utf8');
  const { ExposedPorts } = (JSON.parse(text) as ImageConfig).config;
  return Number.parseInt(Object.keys(ExposedPorts)[0]!);
}
