import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import type { Project, Release } from '../../../../plugin/api.js';
import { checkRelease } from '../../release-folder.js';
import { type History, orderReleases } from '../local/journal.js';
import { whileLocked } from '../local/lock.js';
import { pullBase } from './base-image.js';
import type { Descriptor } from './blob.js';
import type { ClientOptions } from './client.js';
import { readCredentials } from './credentials.js';
import { buildImage } from './image.js';
import { Layout } from './layout.js';
import type { CollectParts } from './parts.js';
import { parsePinned, parseRepository, type Repository } from './reference.js';
import { Registry } from './registry.js';

/** Options of every target that makes images. */
export const imageOptions = (directory: string) => ({
  directory: z
    .string()
    .min(1)
    .default(directory)
    .describe('OCI layout that images are built in, relative to the config file.'),
  base: z
    .string()
    .default('scratch')
    .refine((text) => text === 'scratch' || parsePinned(text) !== undefined, {
      error:
        'expected scratch, or an image with its digest, such as node@sha256:…: a tag may be another image tomorrow',
    })
    .describe(
      'What images are built on: `scratch`, to which the Node that runs is added, or an image with glibc and Node 20 or later, by digest, such as node@sha256:….',
    ),
  insecure: z.boolean().default(false).describe('Speak to the registry without TLS.'),
  dockerConfig: z
    .string()
    .optional()
    .describe('File with logins, as `docker login` writes it. Default: ~/.docker/config.json.'),
});

/** A repository to push to. */
export const repositoryOption = z.string().refine((text) => parseRepository(text) !== undefined, {
  error: 'expected a repository in lower case and without a tag, such as registry.example.com/me/iris',
});

export interface ImageOptions {
  readonly image?: string | undefined;
  readonly directory: string;
  readonly base: string;
  readonly insecure: boolean;
  readonly dockerConfig?: string | undefined;
}

export interface ImageContext {
  readonly project: Project;
  readonly options: ImageOptions;
  readonly signal: AbortSignal;
}

/** Images of releases: built in a layout, and pushed to a registry when one is named. */
export class Images {
  readonly layout: Layout;
  readonly registry: Registry | undefined;

  constructor(
    private readonly context: ImageContext,
    private readonly collect: CollectParts,
  ) {
    const { project, options } = context;
    this.layout = new Layout(resolve(project.root, options.directory));
    const repository =
      options.image === undefined ? undefined : parseRepository(options.image, options.insecure);
    this.registry = repository && new Registry(this.layout, this.client(repository));
  }

  /** Where the tags are that count. */
  get place(): Layout | Registry {
    return this.registry ?? this.layout;
  }

  /** Does `work` while nobody else changes the layout. */
  locked<T>(work: () => Promise<T>): Promise<T> {
    return whileLocked(this.layout, this.context.signal, work);
  }

  /** Builds the release's image, tagged with its digest; to be called with the lock held. */
  async put(release: Release): Promise<Descriptor> {
    const { layout } = this;
    const { project, options, signal } = this.context;
    await checkRelease(release.path);
    const pinned = parsePinned(options.base, options.insecure);
    const base = pinned && (await pullBase(layout, pinned, this.client(pinned.repository)));
    const parts = await this.collect(project, base, release);
    const image = await buildImage({ layout, release, name: project.name, parts, signal });
    await layout.publish(release.digest, image);
    return image;
  }

  /**
   * Brings the release's image to the registry, if there is one; builds it when another project on the same folder has tidied
   * it away meanwhile. To be called with the lock held.
   * @returns the image, and what was sent for people to read.
   */
  async push(release: Release): Promise<{ readonly image: Descriptor; readonly told: string }> {
    const image = (await this.layout.resolve(release.digest)) ?? (await this.put(release));
    if (this.registry === undefined) return { image, told: image.digest };
    const { uploaded, skipped, size } = await this.registry.push(release.digest, image);
    const told = `${uploaded} blobs uploaded (${(size / 1e6).toFixed(2)} MB), ${skipped} there already`;
    return { image, told };
  }

  /** Removes what a push has left behind in the layout, all but the newest `keep` images, and blobs that no tag leads to. */
  async tidy(past: History, keep: number): Promise<void> {
    const { layout } = this;
    if (this.registry !== undefined) {
      const order = orderReleases(await layout.tags(), past);
      await layout.remove(order.slice(keep).map(({ digest }) => digest));
    }
    await layout.sweep();
  }

  private client(repository: Repository): ClientOptions {
    const { project, options, signal } = this.context;
    const logins = options.dockerConfig
      ? resolve(project.root, options.dockerConfig)
      : join(homedir(), '.docker', 'config.json');
    return { repository, login: () => readCredentials(logins, repository.host), signal };
  }
}
