import { createHash } from 'node:crypto';
import { z } from 'zod';
import { MaasError } from '../../../../errors.js';
import { type Layer, mediaTypes } from './blob.js';
import { Client, type ClientOptions } from './client.js';
import type { Layout } from './layout.js';
import type { Pinned } from './reference.js';

/** An image that others are built on, with its layers in the layout. */
export interface BaseImage {
  /** As the config names it. */
  readonly reference: string;
  readonly layers: readonly Layer[];
  /** `NAME=value`. */
  readonly env: readonly string[];
}

const descriptor = z.object({ mediaType: z.string(), digest: z.string(), size: z.number() });
const platform = z.object({ os: z.string(), architecture: z.string() });
const indexSchema = z.object({ manifests: z.array(descriptor.extend({ platform: platform.optional() })) });
const manifestSchema = z.object({ config: descriptor, layers: z.array(descriptor) });
const configSchema = platform.extend({
  config: z.object({ Env: z.array(z.string()).nullish() }).nullish(),
  rootfs: z.object({ diff_ids: z.array(z.string()) }),
});

const docker = 'application/vnd.docker.distribution.manifest';
const accept = [mediaTypes.manifest, mediaTypes.index, `${docker}.v2+json`, `${docker}.list.v2+json`].join(
  ', ',
);
/** Docker's own names of what OCI took over. */
const layerTypes: Readonly<Record<string, string>> = {
  'application/vnd.docker.image.rootfs.diff.tar.gzip': mediaTypes.layer,
};

/** Node's names of processors, as images have them. */
export const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/**
 * Has the layers of a base image in the layout; those that are there are not asked for again. Every byte is checked against
 * its digest, from the one in the config downwards.
 * @throws MaasError MAAS_REGISTRY when the registry does not have it, or gives something else; MAAS_CONFIG_INVALID when it is for
 *   another platform.
 */
export async function pullBase(layout: Layout, pinned: Pinned, options: ClientOptions): Promise<BaseImage> {
  const client = new Client(options);
  const { reference } = pinned;
  const top = await askJson(client, `manifests/${pinned.digest}`, pinned.digest);
  const manifest = readAs(manifestSchema, await pickPlatform(client, top, reference), reference);
  const { digest } = manifest.config;
  const config = readAs(configSchema, await askJson(client, `blobs/${digest}`, digest), reference);
  refuseOther(config, reference);
  const layers: Layer[] = [];
  for (const [index, { mediaType, ...blob }] of manifest.layers.entries()) {
    const layer = { ...blob, mediaType: layerTypes[mediaType] ?? mediaType };
    if (!(await layout.holds(layer))) await pullBlob(layout, client, layer);
    layers.push({ ...layer, diffId: config.rootfs.diff_ids[index]! });
  }
  return { reference, layers, env: config.config?.Env ?? [] };
}

async function pickPlatform(client: Client, top: unknown, reference: string): Promise<unknown> {
  const index = indexSchema.safeParse(top);
  if (!index.success) return top;
  const wanted = index.data.manifests.find(({ platform }) => platform && isOurs(platform));
  if (wanted === undefined) throw otherPlatform(reference);
  return askJson(client, `manifests/${wanted.digest}`, wanted.digest);
}

function isOurs({ os, architecture }: z.infer<typeof platform>): boolean {
  return os === 'linux' && architecture === (architectures[process.arch] ?? process.arch);
}

function refuseOther(found: z.infer<typeof platform>, reference: string): void {
  if (!isOurs(found)) throw otherPlatform(reference);
}

function otherPlatform(reference: string): MaasError {
  const ours = architectures[process.arch] ?? process.arch;
  return new MaasError('MAAS_CONFIG_INVALID', `the base image ${reference} is not for linux/${ours}`, {
    hint: 'Name the digest of an image for this platform, or of an index that has one.',
  });
}

async function askJson(client: Client, to: string, digest: string): Promise<unknown> {
  const response = await client.ask({ method: 'GET', to, headers: { accept }, expect: [200] });
  const body = Buffer.from(await response.arrayBuffer());
  if (`sha256:${createHash('sha256').update(body).digest('hex')}` !== digest) throw otherBytes(response.url);
  return JSON.parse(body.toString('utf8')) as unknown;
}

async function pullBlob(layout: Layout, client: Client, layer: Omit<Layer, 'diffId'>): Promise<void> {
  const response = await client.ask({ method: 'GET', to: `blobs/${layer.digest}`, expect: [200] });
  const body = response.body as AsyncIterable<Uint8Array> | null;
  const { digest } = await layout.writeBlob(layer.mediaType, body ?? []);
  // What came instead leads nowhere, and is swept with the next deploy.
  if (digest !== layer.digest) throw otherBytes(response.url);
}

function otherBytes(url: string): MaasError {
  return new MaasError('MAAS_REGISTRY', `${url} gives other bytes than its digest says`);
}

function readAs<T>(schema: z.ZodType<T>, value: unknown, reference: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new MaasError(
    'MAAS_REGISTRY',
    `${reference} is not an image that can be built on: ${z.prettifyError(result.error)}`,
  );
}
