import { realpath } from 'node:fs/promises';
import { type Artifact, type ArtifactStore, type Manifest, damageOf } from '../../artifacts/index.js';
import { readArtifact } from '../../artifacts/verify.js';
import { isBrief } from '../../evaluate/figures.js';
import type { OpenTarget } from './target-context.js';

/** What a deploy would do, told before it does it. */
export interface DeployPlan {
  readonly target: string;
  /** Digest of the release that is current; undefined when there is none. */
  readonly current: string | undefined;
  /** Digest of the release that would be. */
  readonly release: string;
  /** Files of either release; `undefined` where the current one cannot be read from here. */
  readonly files: readonly FileChange[] | undefined;
  readonly metrics: readonly MetricChange[];
  /** What the target itself says it would change. */
  readonly notes: readonly string[];
  /** Titles, in order. */
  readonly steps: readonly string[];
}

/** Sizes in bytes; a file that is in one of the two releases only has one of them. */
export interface FileChange {
  readonly file: string;
  readonly change: 'added' | 'removed' | 'changed' | 'same';
  readonly from?: number;
  readonly to?: number;
}

export interface MetricChange {
  readonly metric: string;
  readonly from?: number;
  readonly to?: number;
}

/** Holds a release that is built against the one that is current at the target. Reads only. */
export async function planDeploy(
  open: OpenTarget,
  store: ArtifactStore,
  release: Artifact,
): Promise<DeployPlan> {
  const { target, context } = open;
  const current = await target.current(context);
  const before = current === undefined ? undefined : await readCurrent(open, store, current);
  const unreadable = current !== undefined && before === undefined;
  return {
    target: target.name,
    current,
    release: release.digest,
    files: unreadable ? undefined : compareFiles(before, release.manifest),
    metrics: compareMetrics(before, release.manifest),
    notes: (await target.plan?.(context, release)) ?? [],
    steps: current === release.digest ? [] : target.steps(context, release).map(({ title }) => title),
  };
}

/** The current release as the target has it, or as it was built here; undefined when it is to be had from neither. */
async function readCurrent(
  { target, context }: OpenTarget,
  store: ArtifactStore,
  digest: string,
): Promise<Manifest | undefined> {
  const link = target.link?.(context);
  try {
    const found = link
      ? await readArtifact('deploy', await realpath(link), false)
      : await store.open('deploy', digest);
    return found.manifest;
  } catch (error) {
    if (damageOf(error) === undefined) throw error;
    return undefined;
  }
}

function compareFiles(before: Manifest | undefined, after: Manifest): FileChange[] {
  const names = new Set([...Object.keys(before?.files ?? {}), ...Object.keys(after.files)]);
  return [...names].sort().map((file) => {
    const from = before?.files[file];
    const to = after.files[file];
    const sizes = { ...(from && { from: from.size }), ...(to && { to: to.size }) };
    if (from === undefined) return { file, change: 'added', ...sizes };
    if (to === undefined) return { file, change: 'removed', ...sizes };
    return { file, change: from.sha256 === to.sha256 ? 'same' : 'changed', ...sizes };
  });
}

function compareMetrics(before: Manifest | undefined, after: Manifest): MetricChange[] {
  const [old, now] = [figuresOf(before), figuresOf(after)];
  return [...new Set([...Object.keys(old), ...Object.keys(now)])].map((metric) => ({
    metric,
    ...(metric in old && { from: old[metric]! }),
    ...(metric in now && { to: now[metric]! }),
  }));
}

/** The few figures that a person compares. */
function figuresOf(manifest: Manifest | undefined): Record<string, number> {
  return Object.fromEntries(
    Object.entries(manifest?.metrics ?? {}).filter(
      (entry): entry is [string, number] => typeof entry[1] === 'number' && isBrief(entry[0]),
    ),
  );
}
