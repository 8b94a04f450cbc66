import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readCanary, removeCanary } from '../../../../artifacts/canary-file.js';
import { onDisk } from '../../../../artifacts/durable.js';
import {
  defineTarget,
  type Release,
  type ReleaseRecord,
  type TargetContext,
  type TargetStep,
} from '../../../../plugin/api.js';
import { ask, credentialsOf, urlOfProject } from '../../ask.js';
import { checkServer } from '../../check-server.js';
import { checkService } from '../../inspect.js';
import { nothingToGoBackTo } from '../../nothing-to-go-back-to.js';
import { checkRelease } from '../../release-folder.js';
import { tryOnRequests } from './canary.js';
import { appendSwitch, earlierReleases, type History, orderReleases, readHistory } from './journal.js';
import { type Layout, type LocalOptions, layOut } from './layout.js';
import { pointCurrent, readCurrent } from './link.js';
import { whileLocked } from './lock.js';
import { whoAmI } from './who-am-i.js';
import { listReleaseFolders, putRelease, removeRelease } from './releases.js';

type Context = TargetContext<LocalOptions>;

/** Seconds for the golden rows of a server that runs. */
const answerTime = 30;
/** Milliseconds, generously. */
const longestVerify = 3_600_000;

/**
 * Releases in a folder of this machine, for `maas serve` here:
 *
 *   releases/<digest>/   whole, read-only copies
 *   current              link to one of them
 *   history.jsonl        every switch: when, by whom, from what to what
 *   canary.json          while a release is tried on part of the requests
 *   canaries.jsonl       every such trial, with its figures
 *
 * Two projects may share the folder. Each change is made under a lock and is safe to repeat after a kill at any
 * instant; those who read `current` need no lock.
 */
export const localTarget = defineTarget<LocalOptions>({
  name: 'local',
  summary: 'A folder on this machine, with a link to the current release.',
  canary: ['split', 'shadow'],
  options: z.strictObject({
    directory: z
      .string()
      .min(1)
      .default('.maas/deploy')
      .describe('Folder for the releases, relative to the config file.'),
  }),
  link: (context) => layOut(context).link,
  current: (context) =>
    onDisk('cannot read the deploy folder', async () => (await readCurrent(layOut(context)))?.digest),
  steps: planSteps,
  inspect: async ({ project, signal }, release) => {
    const server = {
      url: urlOfProject(project),
      model: project.name,
      signal,
      ...(await credentialsOf(project)),
    };
    const name = `server at ${server.url}`;
    // A folder is whole without a server.
    const isUp = await ask(server, '/v2/health/live').then(
      () => true,
      () => false,
    );
    if (!isUp) return [{ name, state: 'skipped', detail: 'nothing answers there' }];
    return [await checkService(name, () => checkServer(server, release, answerTime))];
  },
  list: (context) => onDisk('cannot list the releases', () => listReleases(layOut(context))),
  prune: pruneReleases,
  rollback: rollBack,
});

function planSteps(context: Context, release: Release): TargetStep[] {
  const layout = layOut(context);
  const copy: Release = { digest: release.digest, path: join(layout.releases, release.digest) };
  return [
    {
      title: 'copy the release',
      run: (note) =>
        whileLocked(layout, context.signal, async () => {
          const done = await putRelease(layout, release, context.signal);
          if (done === 'mended') note('the copy that was there was damaged, and has been mended');
        }),
    },
    {
      title: 'verify it',
      run: async (note) => {
        await context.verify(copy, note);
      },
    },
    ...(context.canary === undefined
      ? []
      : [
          {
            title: `try it on ${context.canary.percent} % of the requests`,
            run: (note: (text: string) => void) => tryOnRequests(layout, context, copy, note),
          },
        ]),
    {
      title: 'switch to it',
      run: (note) =>
        whileLocked(layout, context.signal, async () => {
          // Another project on the same folder may have tidied it away meanwhile.
          await putRelease(layout, release, context.signal);
          await switchTo(layout, 'deploy', release.digest);
          // The server has it by now: whatever is tried beside it is over.
          await removeCanary(layout.root);
          note(`${layout.link} → ${release.digest.slice(0, 12)}`);
        }),
    },
    {
      title: 'remove old releases',
      run: async (note) => {
        const removed = await pruneReleases(context);
        if (removed > 0) note(`${removed} removed, the newest ${context.keep} kept`);
      },
    },
  ];
}

async function rollBack(context: Context, count: number): Promise<string> {
  const layout = layOut(context);
  return whileLocked(layout, context.signal, async () => {
    const there = new Set(await listReleaseFolders(layout));
    const earlier = earlierReleases(await history(layout)).filter((digest) => there.has(digest));
    const digest = earlier[count - 1];
    if (digest === undefined) throw nothingToGoBackTo({ file: layout.root }, earlier.length, count);
    await checkRelease(join(layout.releases, digest));
    await removeCanary(layout.root);
    await switchTo(layout, 'rollback', digest);
    return digest;
  });
}

async function listReleases(layout: Layout): Promise<ReleaseRecord[]> {
  return orderReleases(await listReleaseFolders(layout), await history(layout));
}

async function history(layout: Layout): Promise<History> {
  const current = await readCurrent(layout);
  return readHistory(layout.journal, current?.digest, current?.switchedAt);
}

async function switchTo(layout: Layout, action: 'deploy' | 'rollback', digest: string): Promise<void> {
  const from = (await readCurrent(layout))?.digest ?? null;
  if (from === digest) return;
  await appendSwitch(layout.journal, {
    at: new Date().toISOString(),
    by: whoAmI(),
    action,
    from,
    to: digest,
  });
  await pointCurrent(layout, digest);
}

function pruneReleases(context: Context): Promise<number> {
  const layout = layOut(context);
  return whileLocked(layout, context.signal, () => prune(layout, context.keep));
}

/**
 * Keeps the newest `keep` releases, and always the current one, the one that a rollback goes to, and those that another
 * project may just be verifying.
 */
async function prune(layout: Layout, keep: number): Promise<number> {
  const past = await history(layout);
  const tried = (await readCanary(layout.root))?.release;
  const safe = new Set([past.stack.at(-1), earlierReleases(past)[0], tried]);
  let removed = 0;
  for (const { digest, deployedAt } of orderReleases(await listReleaseFolders(layout), past).slice(keep)) {
    if (safe.has(digest) || (deployedAt === undefined && (await isYoung(layout, digest)))) continue;
    await removeRelease(layout, digest);
    removed += 1;
  }
  return removed;
}

async function isYoung({ releases }: Layout, digest: string): Promise<boolean> {
  const { mtimeMs } = await stat(join(releases, digest));
  return Date.now() - mtimeMs < longestVerify;
}
