import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import {
  defineTarget,
  type Release,
  type ReleaseRecord,
  type Target,
  type TargetContext,
  type TargetStep,
} from '../../../../plugin/api.js';
import { nothingToGoBackTo } from '../../nothing-to-go-back-to.js';
import { checkRelease } from '../../release-folder.js';
import { earlierReleases, orderReleases } from '../local/journal.js';
import { whileLocked } from '../local/lock.js';
import { whoAmI } from '../local/who-am-i.js';
import { readCredentials } from './credentials.js';
import { appendSwitch, readHistory, releaseOf, releaseTags } from './history.js';
import { buildImage } from './image.js';
import { Layout } from './layout.js';
import { type CollectParts, collectParts } from './parts.js';
import type { Place } from './place.js';
import { parseRepository } from './reference.js';
import { Registry } from './registry.js';

const options = z
  .strictObject({
    image: z
      .string()
      .optional()
      .describe(
        'Repository to push to, such as registry.example.com/me/iris. Without one, images stay in the folder.',
      ),
    tag: z
      .string()
      .regex(/^[\w][\w.-]{0,127}$/, 'expected letters, digits, _ . and -')
      .default('latest')
      .describe('Tag of the current release; to switch is to move it.'),
    directory: z
      .string()
      .min(1)
      .default('.maas/oci')
      .describe('OCI layout that images are built in, relative to the config file.'),
    insecure: z.boolean().default(false).describe('Speak to the registry without TLS.'),
    dockerConfig: z
      .string()
      .optional()
      .describe('File with logins, as `docker login` writes it. Default: ~/.docker/config.json.'),
  })
  .refine(({ image, insecure }) => image === undefined || parseRepository(image, insecure) !== undefined, {
    path: ['image'],
    message: 'expected a repository in lower case and without a tag, such as registry.example.com/me/iris',
  });

export type OciOptions = z.infer<typeof options>;
type Context = TargetContext<OciOptions>;

/** Where images are built, and where the tags are that count. */
interface Places {
  readonly layout: Layout;
  readonly registry: Registry | undefined;
  readonly place: Place;
}

function openPlaces({
  project,
  options: { image, insecure, directory, dockerConfig },
  signal,
}: Context): Places {
  const layout = new Layout(resolve(project.root, directory));
  const repository = image === undefined ? undefined : parseRepository(image, insecure);
  if (repository === undefined) return { layout, registry: undefined, place: layout };
  const logins = dockerConfig
    ? resolve(project.root, dockerConfig)
    : join(homedir(), '.docker', 'config.json');
  const login = () => readCredentials(logins, repository.host);
  const registry = new Registry(layout, { repository, login, signal });
  return { layout, registry, place: registry };
}

/**
 * Releases as images that any container runtime runs: one layer each for Node, dependencies, model and server, built
 * without a daemon. Each image is tagged with the digest of its release; one more tag names the current one.
 * @param collect What an image holds beside the release.
 */
export function makeOciTarget(collect: CollectParts): Target {
  return defineTarget<OciOptions>({
    name: 'oci',
    summary: 'Container images, in a folder or pushed to a registry.',
    options,
    current: (context) => releaseOf(openPlaces(context).place, context.options.tag),
    steps: (context, release) => planSteps(context, release, collect),
    list: listReleases,
    prune,
    rollback: rollBack,
  });
}

export const ociTarget = makeOciTarget(collectParts);

function planSteps(context: Context, release: Release, collect: CollectParts): TargetStep[] {
  const places = openPlaces(context);
  const { layout, registry } = places;
  const { project, signal } = context;
  const locked = <T>(work: () => Promise<T>): Promise<T> => whileLocked(layout, signal, work);
  const put = async (): Promise<void> => {
    await checkRelease(release.path);
    const parts = await collect(project);
    await layout.publish(
      release.digest,
      await buildImage({ layout, release, name: project.name, parts, signal }),
    );
  };
  const push = async (): Promise<string> => {
    // Another project on the same folder may have tidied it away meanwhile.
    if ((await layout.resolve(release.digest)) === undefined) await put();
    const image = (await layout.resolve(release.digest))!;
    if (registry === undefined) return image.digest;
    const { uploaded, skipped, size } = await registry.push(release.digest, image);
    return `${uploaded} blobs uploaded (${(size / 1e6).toFixed(2)} MB), ${skipped} there already`;
  };
  return [
    {
      title: 'verify it',
      run: async (note) => {
        await context.verify(release, note);
      },
    },
    { title: 'build the image', run: () => locked(put) },
    ...(registry === undefined
      ? []
      : [
          {
            title: 'push it',
            run: async (note: (text: string) => void) => {
              note(await locked(push));
            },
          },
        ]),
    {
      title: 'switch to it',
      run: (note) =>
        locked(async () => {
          await push();
          await switchTo(context, places, 'deploy', release.digest);
          note(
            `${context.options.image ?? layout.root}:${context.options.tag} → ${release.digest.slice(0, 12)}`,
          );
        }),
    },
    {
      title: 'remove old images',
      run: async (note) => {
        const removed = await prune(context);
        if (removed > 0) note(`${removed} removed, the newest ${context.keep} kept`);
      },
    },
  ];
}

async function switchTo(
  { options: { tag } }: Context,
  { layout, place }: Places,
  action: 'deploy' | 'rollback',
  to: string,
): Promise<void> {
  const from = (await releaseOf(place, tag)) ?? null;
  const image = (await place.resolve(to))!;
  if (from === to && (await place.resolve(tag))?.digest === image.digest) return;
  if (from !== to) {
    await appendSwitch(place, layout, { at: new Date().toISOString(), by: whoAmI(), action, from, to });
  }
  await place.tag(tag, image);
}

async function listReleases(context: Context): Promise<ReleaseRecord[]> {
  const { place } = openPlaces(context);
  const current = await releaseOf(place, context.options.tag);
  return orderReleases(await releaseTags(place), await readHistory(place, current));
}

async function rollBack(context: Context, count: number): Promise<string> {
  const places = openPlaces(context);
  const { place, layout } = places;
  const find = async (): Promise<string> => {
    const there = new Set(await releaseTags(place));
    const past = await readHistory(place, await releaseOf(place, context.options.tag));
    const earlier = earlierReleases(past).filter((digest) => there.has(digest));
    const digest = earlier[count - 1];
    if (digest === undefined) throw nothingToGoBackTo(undefined, earlier.length, count);
    return digest;
  };
  await find();
  return whileLocked(layout, context.signal, async () => {
    const digest = await find();
    await switchTo(context, places, 'rollback', digest);
    return digest;
  });
}

/** Keeps the newest images, and always the current one and the one that a rollback goes to. */
function prune(context: Context): Promise<number> {
  const places = openPlaces(context);
  return whileLocked(places.layout, context.signal, () => removeOld(context, places));
}

async function removeOld(context: Context, { layout, registry, place }: Places): Promise<number> {
  const past = await readHistory(place, await releaseOf(place, context.options.tag));
  const safe = new Set([past.stack.at(-1), earlierReleases(past)[0]]);
  const old = orderReleases(await releaseTags(place), past)
    .slice(context.keep)
    .map(({ digest }) => digest)
    .filter((digest) => !safe.has(digest));
  const removed = await place.remove(old);
  if (registry !== undefined) {
    const kept = new Set(
      orderReleases(await layout.tags(), past)
        .slice(0, context.keep)
        .map(({ digest }) => digest),
    );
    await layout.remove((await layout.tags()).filter((tag) => !kept.has(tag)));
  }
  await layout.sweep();
  return removed;
}
