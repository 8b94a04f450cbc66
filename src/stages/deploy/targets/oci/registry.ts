import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { MaasError } from '../../../../errors.js';
import { type Descriptor, type ImageManifest, mediaTypes } from './blob.js';
import { Client, type ClientOptions, mayComeRight, tries } from './client.js';
import type { Layout } from './layout.js';
import type { Place } from './place.js';

/** Bytes of one PATCH: what a broken connection costs at most. */
const chunkSize = 8 << 20;

export interface Pushed {
  /** Blobs that the registry had already. */
  readonly skipped: number;
  readonly uploaded: number;
  /** In bytes. */
  readonly size: number;
}

/** A repository of a registry, through the distribution API (distribution-spec 1.1). */
export class Registry implements Place {
  private readonly client: Client;

  /** @param layout Where what is pushed comes from. */
  constructor(
    private readonly layout: Layout,
    options: ClientOptions,
  ) {
    this.client = new Client(options);
  }

  async tags(): Promise<string[]> {
    const tags: string[] = [];
    for (let next: string | undefined = 'tags/list?n=1000'; next !== undefined;) {
      const response: Response = await this.client.ask({ method: 'GET', to: next, expect: [200, 404] });
      if (response.status === 404) break;
      const page = (await response.json()) as { tags: string[] | null };
      tags.push(...(page.tags ?? []));
      next = /<([^>]*)>;\s*rel="?next/.exec(response.headers.get('link') ?? '')?.[1];
    }
    return tags;
  }

  async resolve(tag: string): Promise<Descriptor | undefined> {
    const response = await this.client.ask({
      method: 'GET',
      to: `manifests/${tag}`,
      headers: { accept: mediaTypes.manifest },
      expect: [200, 404],
    });
    if (response.status === 404) return undefined;
    const body = Buffer.from(await response.arrayBuffer());
    return { mediaType: mediaTypes.manifest, digest: digestOf(body), size: body.byteLength };
  }

  async readManifest({ digest }: Descriptor): Promise<ImageManifest> {
    const headers = { accept: mediaTypes.manifest };
    const response = await this.client.ask({
      method: 'GET',
      to: `manifests/${digest}`,
      headers,
      expect: [200],
    });
    return JSON.parse((await readChecked(response, digest)).toString('utf8')) as ImageManifest;
  }

  async readBlob(digest: string): Promise<Buffer> {
    return readChecked(
      await this.client.ask({ method: 'GET', to: `blobs/${digest}`, expect: [200] }),
      digest,
    );
  }

  /** Uploads the manifest's blobs that are not there yet, then names it by `tag`. */
  async push(tag: string, descriptor: Descriptor): Promise<Pushed> {
    const manifest = await this.layout.readManifest(descriptor);
    const pushed = { skipped: 0, uploaded: 0, size: 0 };
    for (const blob of new Map(
      [...manifest.layers, manifest.config].map((each) => [each.digest, each]),
    ).values()) {
      if (await this.holds(blob)) pushed.skipped += 1;
      else {
        await this.upload(blob);
        pushed.uploaded += 1;
        pushed.size += blob.size;
      }
    }
    await this.tag(tag, descriptor);
    return pushed;
  }

  publish(tag: string, descriptor: Descriptor): Promise<Pushed> {
    return this.push(tag, descriptor);
  }

  async tag(tag: string, { digest, mediaType }: Descriptor): Promise<void> {
    const body = (await this.hasLocally(digest))
      ? await this.layout.readBlob(digest)
      : Buffer.from(await (await this.getManifest(digest)).arrayBuffer());
    if (digestOf(body) !== digest) throw corrupt(digest);
    const response = await this.client.ask({
      method: 'PUT',
      to: `manifests/${tag}`,
      headers: { 'content-type': mediaType },
      body,
      expect: [201],
    });
    refuseOther(response, digest);
  }

  async remove(tags: readonly string[]): Promise<number> {
    let removed = 0;
    for (const tag of tags) {
      const found = await this.resolve(tag);
      if (found === undefined) continue;
      const response = await this.client.ask({
        method: 'DELETE',
        to: `manifests/${found.digest}`,
        // Registries may refuse to delete; what is left over then is their owner's affair.
        expect: [202, 400, 403, 404, 405],
      });
      if (response.status === 202) removed += 1;
    }
    return removed;
  }

  private async getManifest(digest: string): Promise<Response> {
    const headers = { accept: mediaTypes.manifest };
    return this.client.ask({ method: 'GET', to: `manifests/${digest}`, headers, expect: [200] });
  }

  private async hasLocally(digest: string): Promise<boolean> {
    return this.layout.readBlob(digest).then(
      () => true,
      () => false,
    );
  }

  async holds({ digest }: Descriptor): Promise<boolean> {
    return (
      (await this.client.ask({ method: 'HEAD', to: `blobs/${digest}`, expect: [200, 404] })).status === 200
    );
  }

  /** Uploads in chunks; after a failure it goes on where the registry says that it stands, or from the start. */
  private async upload(blob: Descriptor): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.uploadOnce(blob);
        return;
      } catch (error) {
        // A wrong digest is what a damaged transfer looks like; a blob that is damaged here was noticed while reading.
        const again = mayComeRight(error) || statusOf(error) === 400 || statusOf(error) === 404;
        if (attempt >= tries || !again) throw error;
        await this.client.rest(attempt);
        if (await this.holds(blob)) return;
      }
    }
  }

  private async uploadOnce({ digest, size }: Descriptor): Promise<void> {
    const begun = await this.client.ask({ method: 'POST', to: 'blobs/uploads/', expect: [202] });
    let location = locationOf(begun);
    const file = await open(this.layout.blobPath(digest), 'r');
    try {
      const hash = createHash('sha256');
      let hashed = 0;
      for (let offset = 0, failures = 0; offset < size;) {
        const chunk = Buffer.alloc(Math.min(chunkSize, size - offset));
        await file.read(chunk, 0, chunk.byteLength, offset);
        const end = offset + chunk.byteLength;
        if (end > hashed) hash.update(chunk.subarray(hashed - offset));
        hashed = Math.max(hashed, end);
        try {
          const response = await this.patch(location, chunk, offset);
          location = locationOf(response);
          offset = end;
        } catch (error) {
          failures += 1;
          if (failures >= tries || !(mayComeRight(error) || statusOf(error) === 416)) throw error;
          await this.client.rest(failures);
          const stand = await this.client.ask({ method: 'GET', to: location, expect: [204] });
          location = locationOf(stand, location);
          offset = Math.min(standOf(stand), end);
        }
      }
      if (`sha256:${hash.digest('hex')}` !== digest) throw corrupt(digest);
    } finally {
      await file.close();
    }
    const url = new URL(location);
    url.searchParams.set('digest', digest);
    refuseOther(await this.client.ask({ method: 'PUT', to: url.href, expect: [201], tries: 1 }), digest);
  }

  private patch(location: string, chunk: Buffer, offset: number): Promise<Response> {
    return this.client.ask({
      method: 'PATCH',
      to: location,
      headers: {
        'content-type': 'application/octet-stream',
        'content-range': `${offset}-${offset + chunk.byteLength - 1}`,
      },
      body: chunk,
      expect: [202],
      tries: 1,
    });
  }
}

/** Where an upload goes on; registries give it as a path or as a URL. */
function locationOf(response: Response, otherwise?: string): string {
  const location = response.headers.get('location') ?? otherwise;
  if (location === undefined) throw new MaasError('MAAS_REGISTRY', `${response.url} tells no Location`);
  return new URL(location, response.url).href;
}

/** Bytes that the registry has of an upload: `Range: 0-<last byte>`, where 0-0 may mean none or one. */
function standOf(response: Response): number {
  const last = Number(/^(?:bytes=)?0-(\d+)$/.exec(response.headers.get('range') ?? '')?.[1] ?? 0);
  return last === 0 ? 0 : last + 1;
}

async function readChecked(response: Response, digest: string): Promise<Buffer> {
  const body = Buffer.from(await response.arrayBuffer());
  if (digestOf(body) === digest) return body;
  throw new MaasError('MAAS_REGISTRY', `${response.url} gives other bytes than its digest says`);
}

function refuseOther(response: Response, digest: string): void {
  const told = response.headers.get('docker-content-digest') ?? digest;
  if (told === digest) return;
  throw new MaasError('MAAS_REGISTRY', `the registry stored ${told} instead of ${digest}`);
}

function corrupt(digest: string): MaasError {
  return new MaasError('MAAS_ARTIFACT_CORRUPT', `the image's blob ${digest} is not what it was built as`, {
    hint: 'Remove the folder deploy.target.oci.directory and run `maas deploy --force`.',
  });
}

function statusOf(error: unknown): number | undefined {
  return error instanceof MaasError ? (error.details?.['status'] as number | undefined) : undefined;
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
