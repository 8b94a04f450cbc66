import { createHash, randomUUID } from 'node:crypto';
import { open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson } from '../../../../artifacts/index.js';
import { isMissing, makeFolder, replaceFile, syncFolder } from '../../../../artifacts/durable.js';
import { type Descriptor, type ImageManifest, mediaTypes } from './blob.js';
import type { Place } from './place.js';

/**
 * An OCI image layout (image-spec 1.1, image-layout.md): a folder that skopeo, podman, buildah and crane read.
 * Blobs come first and the index names them last, so that a kill leaves blobs that nothing names, and no more.
 */
export class Layout implements Place {
  constructor(readonly root: string) {}

  blobPath(digest: string): string {
    return join(this.root, 'blobs', ...digest.split(':'));
  }

  /** True when the blob is there in its full size. */
  async holds({ digest, size }: Descriptor): Promise<boolean> {
    try {
      return (await stat(this.blobPath(digest))).size === size;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async readBlob(digest: string): Promise<Buffer> {
    return readFile(this.blobPath(digest));
  }

  /** Writes what `content` yields, and names it by its digest. */
  async writeBlob(
    mediaType: string,
    content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<Descriptor> {
    await this.prepare();
    const draft = join(this.root, 'tmp', randomUUID());
    const hash = createHash('sha256');
    let size = 0;
    const file = await open(draft, 'wx');
    try {
      for await (const chunk of content) {
        hash.update(chunk);
        size += chunk.byteLength;
        await file.write(chunk);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    const digest = `sha256:${hash.digest('hex')}`;
    await rename(draft, this.blobPath(digest));
    await syncFolder(join(this.root, 'blobs', 'sha256'));
    return { mediaType, digest, size };
  }

  writeJson(mediaType: string, value: unknown): Promise<Descriptor> {
    return this.writeBlob(mediaType, [Buffer.from(canonicalJson(value))]);
  }

  async tags(): Promise<string[]> {
    return (await this.readIndex()).map(tagOf).filter((tag) => tag !== undefined);
  }

  async resolve(tag: string): Promise<Descriptor | undefined> {
    return (await this.readIndex()).find((entry) => tagOf(entry) === tag);
  }

  async readManifest({ digest }: Descriptor): Promise<ImageManifest> {
    return JSON.parse((await this.readBlob(digest)).toString('utf8')) as ImageManifest;
  }

  async tag(tag: string, { mediaType, digest, size, platform }: Descriptor): Promise<void> {
    const others = (await this.readIndex()).filter((entry) => tagOf(entry) !== tag);
    const annotations = { [tagAnnotation]: tag };
    await this.writeIndex([
      ...others,
      { mediaType, digest, size, annotations, ...(platform && { platform }) },
    ]);
  }

  /** All blobs of a layout are its own: there is nothing to bring. */
  publish(tag: string, descriptor: Descriptor): Promise<void> {
    return this.tag(tag, descriptor);
  }

  async remove(tags: readonly string[]): Promise<number> {
    const index = await this.readIndex();
    const kept = index.filter((entry) => !tags.includes(tagOf(entry) ?? ''));
    if (kept.length < index.length) await this.writeIndex(kept);
    return index.length - kept.length;
  }

  /** Removes blobs that no tag leads to; returns how many. */
  async sweep(): Promise<number> {
    const named = new Set<string>();
    for (const entry of await this.readIndex()) {
      const manifest = await this.readManifest(entry);
      for (const { digest } of [entry, manifest.config, ...manifest.layers]) named.add(digest);
    }
    const folder = join(this.root, 'blobs', 'sha256');
    const strays = (await readdir(folder).catch(() => [])).filter((name) => !named.has(`sha256:${name}`));
    for (const name of strays) await rm(join(folder, name));
    return strays.length;
  }

  private async prepare(): Promise<void> {
    await makeFolder(join(this.root, 'blobs', 'sha256'), this.root);
    await makeFolder(join(this.root, 'tmp'), this.root);
  }

  private async readIndex(): Promise<Descriptor[]> {
    try {
      const index = JSON.parse(await readFile(join(this.root, 'index.json'), 'utf8')) as {
        manifests: Descriptor[];
      };
      return index.manifests;
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  private async writeIndex(manifests: readonly Descriptor[]): Promise<void> {
    await this.prepare();
    const sorted = manifests.toSorted((a, b) => ((tagOf(a) ?? '') < (tagOf(b) ?? '') ? -1 : 1));
    const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: sorted };
    await replaceFile(
      join(this.root, 'oci-layout'),
      '{"imageLayoutVersion":"1.0.0"}',
      join(this.root, 'tmp'),
    );
    await replaceFile(join(this.root, 'index.json'), canonicalJson(index), join(this.root, 'tmp'));
  }
}

const tagAnnotation = 'org.opencontainers.image.ref.name';

function tagOf({ annotations }: Descriptor): string | undefined {
  return annotations?.[tagAnnotation];
}
