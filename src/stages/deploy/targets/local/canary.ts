import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { canonicalJson } from '../../../../artifacts/index.js';
import {
  type CanaryOrder,
  readCanary,
  removeCanary,
  writeCanary,
} from '../../../../artifacts/canary-file.js';
import { makeFolder } from '../../../../artifacts/durable.js';
import { MaasError } from '../../../../errors.js';
import type { CanaryOptions, Project, Release, TargetContext } from '../../../../plugin/api.js';
import { ask, credentialsOf, type Door, urlOfProject } from '../../ask.js';
import { readPresence } from '../../canary/figures.js';
import type { Summary, Watched } from '../../canary/judge.js';
import { describeSummary, watchCanary } from '../../canary/watch.js';
import type { Layout } from './layout.js';
import { readCurrent } from './link.js';
import { whileLocked } from './lock.js';
import { whoAmI } from './who-am-i.js';

/** Seconds that a server goes on without being told to. */
const validity = 30;
/** Milliseconds between looks at a server that has not taken the candidate up yet. */
const pause = 100;

/** What of `canary.json` is ours to remember. */
interface Remembered extends Watched {
  readonly stable: Watched['stable'];
  /** Digest of the release that it is compared with. */
  readonly against: string;
  /** Whose deploy it is. */
  readonly by: string;
}

/**
 * Has the running server try `release` on part of the requests, and watches it. A deploy that was killed goes on where it was; one that is
 * not started again leaves the server with the current release alone, half a minute later.
 * @throws MaasError MAAS_CANARY_FAILED when the release did not do as well as the current one, which keeps all requests;
 * MAAS_CANARY_SERVER when no server can be watched; MAAS_LOCKED while another project tries a release here.
 */
export async function tryOnRequests(
  layout: Layout,
  context: TargetContext,
  release: Release,
  note: (text: string) => void,
): Promise<void> {
  const options = context.canary!;
  const against = (await readCurrent(layout))?.digest;
  if (against === undefined || against === release.digest) {
    note('there is no other release to compare it with');
    return;
  }
  const by = `${whoAmI()} ${context.project.configFile}`;
  const order = (watched: Watched): CanaryOrder => ({
    release: release.digest,
    percent: options.percent,
    shadow: options.shadow,
    ...(options.sticky !== undefined && { sticky: options.sticky }),
    until: new Date(Date.now() + validity * 1000).toISOString(),
    watched: { ...watched, against, by } satisfies Remembered,
  });
  const door = await openDoor(context.project, options, context.signal);
  const { refused } = readPresence(await askMetrics(door), release.digest);
  const before = await begin(layout, context, order, { against, by });
  let outcome = 'ended';
  let told: Summary | Watched | undefined;
  try {
    await untilTakenUp(door, release.digest, refused, note);
    const summary = await watchCanary({
      options,
      stable: against,
      candidate: release.digest,
      look: async () => new Map([[door.url, await askMetrics(door)]]),
      keep: async (watched) => {
        told = watched;
        await renew(layout, context, order(watched), { against, by });
      },
      before,
      signal: context.signal,
      note,
    });
    told = summary;
    outcome = 'passed';
    note(describeSummary(summary));
    context.onCanary?.({ ...summary });
  } catch (error) {
    outcome = error instanceof MaasError ? error.message : 'interrupted';
    if (error instanceof MaasError && error.code === 'MAAS_CANARY_FAILED') {
      told = error.details as unknown as Summary;
      context.onCanary?.(error.details as never);
    }
    await removeCanary(layout.root);
    throw error;
  } finally {
    await record(layout, { release: release.digest, against, outcome, by: whoAmI(), ...told });
  }
}

async function begin(
  layout: Layout,
  { signal }: TargetContext,
  order: (watched: Watched) => CanaryOrder,
  { against, by }: Pick<Remembered, 'against' | 'by'>,
): Promise<Watched | undefined> {
  return whileLocked(layout, signal, async () => {
    const there = await readCanary(layout.root);
    const known = there?.watched as unknown as Remembered | undefined;
    if (there !== undefined && known?.by !== by && Date.parse(there.until) > Date.now()) {
      const whose = known?.by ?? 'somebody';
      throw new MaasError('MAAS_LOCKED', `release ${there.release.slice(0, 12)} is tried there by ${whose}`);
    }
    const empty: Watched = { seconds: 0, stable: {}, candidate: {} };
    const next = order(empty);
    const same = (one: CanaryOrder): string =>
      canonicalJson([one.release, one.percent, one.shadow, one.sticky ?? null]);
    const goesOn = there !== undefined && same(there) === same(next) && known?.against === against;
    const watched = goesOn
      ? { seconds: known.seconds, stable: known.stable, candidate: known.candidate }
      : empty;
    await makeFolder(layout.tmp, layout.root);
    await writeCanary(layout.root, order(watched), layout.tmp);
    return goesOn ? watched : undefined;
  });
}

/** @throws MaasError MAAS_CANARY_FAILED when the order was taken away, or another release became current meanwhile. */
async function renew(
  layout: Layout,
  { signal }: TargetContext,
  order: CanaryOrder,
  { against, by }: Pick<Remembered, 'against' | 'by'>,
): Promise<void> {
  await whileLocked(layout, signal, async () => {
    const there = await readCanary(layout.root);
    const known = there?.watched as unknown as Remembered | undefined;
    const current = (await readCurrent(layout))?.digest;
    if (there?.release !== order.release || known?.by !== by || current !== against) {
      throw new MaasError('MAAS_CANARY_FAILED', 'the trial was ended by somebody else', {
        hint: 'Another deploy or rollback came between. The current release has all requests.',
      });
    }
    await makeFolder(layout.tmp, layout.root);
    await writeCanary(layout.root, order, layout.tmp);
  });
}

async function openDoor(project: Project, { url }: CanaryOptions, signal: AbortSignal): Promise<Door> {
  return { url: url ?? urlOfProject(project), signal, ...(await credentialsOf(project)) };
}

async function askMetrics(door: Door): Promise<string> {
  const fail = (what: string, cause?: unknown): MaasError =>
    new MaasError('MAAS_CANARY_SERVER', `the server at ${door.url} ${what}`, { cause });
  const said = await ask(door, '/metrics').catch((error: unknown) => {
    door.signal.throwIfAborted();
    const { message, cause } = error as Error;
    throw fail(`cannot be reached: ${cause instanceof Error ? cause.message : message}`, error);
  });
  if (said.status === 200) return said.text;
  if (said.status !== 401) throw fail(`answers /metrics with ${said.status}`);
  throw new MaasError('MAAS_CANARY_SERVER', `the server at ${door.url} asks for a key`, {
    hint: 'Have the key itself in serve.keys, as ${NAME}: its digest opens nothing.',
  });
}

async function untilTakenUp(
  door: Door,
  release: string,
  refusedBefore: number,
  note: (text: string) => void,
): Promise<void> {
  const deadline = Date.now() + (validity - 5) * 1000;
  note('waiting for the server to take it up');
  for (;;) {
    const { served, refused } = readPresence(await askMetrics(door), release);
    if (served) return;
    if (refused > refusedBefore) {
      throw new MaasError('MAAS_CANARY_FAILED', 'the running server refused the release', {
        hint: 'Its log tells why. The current release has all requests.',
      });
    }
    if (Date.now() > deadline) {
      throw new MaasError('MAAS_CANARY_SERVER', `the server at ${door.url} does not take the release up`, {
        hint: 'Is it the `maas serve` of this project, and of this version? deploy.canary.url says where it answers.',
      });
    }
    await wait(pause, undefined, { signal: door.signal });
  }
}

/** One line for each trial, in the manner of the journal. */
async function record({ root }: Layout, entry: object): Promise<void> {
  const line = canonicalJson({ at: new Date().toISOString(), ...entry });
  await appendFile(join(root, 'canaries.jsonl'), `\n${line}`);
}
