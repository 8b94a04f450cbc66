import type { z } from 'zod';
import {
  type Check,
  defineTarget,
  type Release,
  type ReleaseRecord,
  type Target,
  type TargetContext,
  type TargetStep,
} from '../../../../plugin/api.js';
import { MaasError } from '../../../../errors.js';
import { checkService } from '../../inspect.js';
import { nothingToGoBackTo } from '../../nothing-to-go-back-to.js';
import { earlierReleases, type History, orderReleases } from '../local/journal.js';
import { whoAmI } from '../local/who-am-i.js';
import type { Descriptor } from './blob.js';
import { appendSwitch, readHistory, releaseTags } from './history.js';
import { type ImageOptions, Images } from './images.js';
import type { CollectParts } from './parts.js';

/** The image to switch to. */
export interface NextImage {
  /** Digest of the release in it. */
  readonly release: string;
  readonly image: Descriptor;
  /** Folder of the release, where it is at hand: after a rollback it is not. */
  readonly path?: string;
}

/** What runs images, or names the one to be run. */
export interface ImageRuntime<Options extends ImageOptions> {
  readonly name: string;
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  /** Digest of the release that runs; undefined when none does. */
  current(context: TargetContext<Options>, images: Images): Promise<string | undefined>;
  /**
   * Makes an image, which is where `images` keeps them, the one that runs, and leaves what runs in place when that fails. Safe to
   * repeat after a kill.
   */
  switchTo(
    context: TargetContext<Options>,
    images: Images,
    next: NextImage,
    note: (text: string) => void,
  ): Promise<void>;
  /** See `Target.canary`; a runtime that has it has `tryOut`. */
  readonly canary?: Target['canary'];
  /** Tries an image that is pushed on part of the requests. Safe to repeat after a kill. */
  tryOut?(
    context: TargetContext<Options>,
    images: Images,
    next: NextImage,
    note: (text: string) => void,
  ): Promise<void>;
  /** Told of releases whose images are no longer kept. */
  forget?(context: TargetContext<Options>, releases: readonly string[]): Promise<void>;
  /** See `Target.inspect`. */
  inspect?(
    context: TargetContext<Options>,
    images: Images,
    release: { readonly digest: string; readonly path?: string | undefined },
  ): Promise<readonly Check[]>;
  /** See `Target.plan`. */
  plan?(context: TargetContext<Options>, images: Images, release: Release): Promise<readonly string[]>;
}

type Note = (text: string) => void;

/**
 * A target whose releases are images, each tagged with the digest of its release, with a journal of switches beside them.
 * What they run on is the runtime's; verifying, building, pushing, listing, going back and tidying are the same for all.
 */
export function defineImageTarget<Options extends ImageOptions>(
  runtime: ImageRuntime<Options>,
  collect: CollectParts,
): Target {
  const target = new ImageTarget(runtime, collect);
  return defineTarget<Options>({
    name: runtime.name,
    summary: runtime.summary,
    options: runtime.options,
    ...(runtime.canary && { canary: runtime.canary }),
    current: (context) => target.current(context),
    steps: (context, release) => target.steps(context, release),
    plan: (context, release) => target.plan(context, release),
    inspect: (context, release) => target.inspect(context, release),
    list: (context) => target.list(context),
    prune: (context) => target.prune(context),
    rollback: (context, count) => target.rollback(context, count),
  });
}

class ImageTarget<Options extends ImageOptions> {
  constructor(
    private readonly runtime: ImageRuntime<Options>,
    private readonly collect: CollectParts,
  ) {}

  current(context: TargetContext<Options>): Promise<string | undefined> {
    return this.runtime.current(context, this.open(context));
  }

  steps(context: TargetContext<Options>, release: Release): TargetStep[] {
    const images = this.open(context);
    const push: TargetStep = {
      title: 'push it',
      run: async (note) => {
        note((await images.locked(() => images.push(release))).told);
      },
    };
    const { canary } = context;
    const tryOut: TargetStep = {
      title: `try it on ${canary?.percent ?? 0} % of the requests`,
      run: async (note) => {
        const { image } = await images.locked(() => images.push(release));
        await this.runtime.tryOut?.(
          context,
          images,
          { release: release.digest, image, path: release.path },
          note,
        );
      },
    };
    return [
      {
        title: 'verify it',
        run: async (note) => {
          await context.verify(release, note);
        },
      },
      {
        title: 'build the image',
        run: async () => {
          await images.locked(() => images.put(release));
        },
      },
      ...(images.registry === undefined ? [] : [push]),
      ...(canary === undefined ? [] : [tryOut]),
      {
        title: 'switch to it',
        run: (note) =>
          images.locked(async () => {
            await images.push(release);
            await this.switchTo(context, images, 'deploy', release, note);
          }),
      },
      {
        title: 'remove old images',
        run: async (note) => {
          const removed = await this.prune(context);
          if (removed > 0) note(`${removed} removed, the newest ${context.keep} kept`);
        },
      },
    ];
  }

  async plan(context: TargetContext<Options>, release: Release): Promise<readonly string[]> {
    return (await this.runtime.plan?.(context, this.open(context), release)) ?? [];
  }

  /** That the image is there with all its blobs, and what the runtime says of it. */
  async inspect(
    context: TargetContext<Options>,
    release: { readonly digest: string; readonly path?: string | undefined },
  ): Promise<readonly Check[]> {
    const images = this.open(context);
    const { place } = images;
    const image = await checkService('image', async () => {
      const found = await place.resolve(release.digest);
      if (found === undefined) throw new MaasError('MAAS_VERIFY_FAILED', 'there is no image of the release');
      const { config, layers } = await place.readManifest(found);
      for (const blob of [config, ...layers]) {
        if (!(await place.holds(blob)))
          throw new MaasError('MAAS_VERIFY_FAILED', `it lacks the blob ${blob.digest}`);
      }
      return undefined;
    });
    const running = await this.runtime.inspect?.(context, images, release);
    return [image, ...(running ?? [])];
  }

  async list(context: TargetContext<Options>): Promise<ReleaseRecord[]> {
    const images = this.open(context);
    return orderReleases(await releaseTags(images.place), await this.history(context, images));
  }

  async rollback(context: TargetContext<Options>, count: number): Promise<string> {
    const images = this.open(context);
    const find = async (): Promise<string> => {
      const there = new Set(await releaseTags(images.place));
      const past = await this.history(context, images);
      const earlier = earlierReleases(past).filter((digest) => there.has(digest));
      const digest = earlier[count - 1];
      if (digest === undefined) throw nothingToGoBackTo(undefined, earlier.length, count);
      return digest;
    };
    // Asked before the lock is taken, which makes folders.
    await find();
    return images.locked(async () => {
      const digest = await find();
      await this.switchTo(context, images, 'rollback', { digest }, () => undefined);
      return digest;
    });
  }

  /** Keeps the newest images, and always the current one and the one that a rollback goes to. */
  prune(context: TargetContext<Options>): Promise<number> {
    const images = this.open(context);
    return images.locked(async () => {
      const past = await this.history(context, images);
      const safe = new Set([past.stack.at(-1), earlierReleases(past)[0]]);
      const old = orderReleases(await releaseTags(images.place), past)
        .slice(context.keep)
        .map(({ digest }) => digest)
        .filter((digest) => !safe.has(digest));
      const removed = await images.place.remove(old);
      await this.runtime.forget?.(context, old);
      await images.tidy(past, context.keep);
      return removed;
    });
  }

  private open({ project, options, signal }: TargetContext<Options>): Images {
    return new Images({ project, options, signal }, this.collect);
  }

  private async history(context: TargetContext<Options>, images: Images): Promise<History> {
    return readHistory(images.place, await this.runtime.current(context, images));
  }

  private async switchTo(
    context: TargetContext<Options>,
    images: Images,
    action: 'deploy' | 'rollback',
    { digest: to, path }: { readonly digest: string; readonly path?: string },
    note: Note,
  ): Promise<void> {
    const { place, layout } = images;
    const from = (await this.runtime.current(context, images)) ?? null;
    const image = (await place.resolve(to))!;
    if (from !== to) {
      await appendSwitch(place, layout, { at: new Date().toISOString(), by: whoAmI(), action, from, to });
    }
    await this.runtime.switchTo(context, images, { release: to, image, ...(path && { path }) }, note);
  }
}
