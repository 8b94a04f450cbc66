import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { Pod, PodList } from 'kubernetes-types/core/v1.js';
import { MaasError } from '../../../../errors.js';
import type { TargetContext } from '../../../../plugin/api.js';
import type { Kubectl } from '../../../kubectl.js';
import type { Watched } from '../../canary/judge.js';
import { describeSummary, watchCanary } from '../../canary/watch.js';
import { askPod } from './ask-pods.js';
import { type Manifest, releaseLabel } from './manifests.js';
import type { ClusterOptions } from './options.js';

/** What tries a release in a cluster, beside the one that runs. */
export interface ClusterTrial {
  /** What is applied to begin it. */
  readonly manifests: readonly Manifest[];
  /** kubectl's words for "until its pods are ready". */
  readonly readyWords: readonly string[];
  /** The object that is the trial's own, by kind and name: it remembers what was seen. */
  readonly object: readonly [kind: string, name: string];
  /** Labels of the pods of both releases. */
  readonly pods: string;
  /** Takes it away again. */
  end(): Promise<void>;
}

export interface TrialRun {
  readonly context: TargetContext<ClusterOptions>;
  readonly cluster: Kubectl;
  readonly trial: ClusterTrial;
  /** Digests. */
  readonly stable: string;
  readonly candidate: string;
  /** TCP port of the pods. */
  readonly port: number;
  /** Digest of the release that is current by now. */
  readonly current: () => Promise<string | undefined>;
  readonly note: (text: string) => void;
}

/** What was seen so far, so that a deploy that was killed goes on. */
const watchedAnnotation = 'maas.dev/watched';

/**
 * Runs a release beside the current one and watches both through the cluster's API.
 * @throws MaasError MAAS_CANARY_FAILED when it did not do as well, MAAS_VERIFY_FAILED when its pods do not become ready. All requests
 * are the current release's again by then.
 */
export async function tryInCluster(run: TrialRun): Promise<void> {
  const { context, cluster, trial, stable, candidate, note } = run;
  const options = context.canary!;
  const before = await recall(cluster, trial, candidate);
  try {
    await cluster.apply(trial.manifests);
    await cluster.waitFor(trial.readyWords, context.options.timeout);
    const summary = await watchCanary({
      options,
      stable,
      candidate,
      look: () => lookAtPods(run),
      keep: async (watched) => {
        if ((await run.current()) !== stable) {
          throw new MaasError('MAAS_CANARY_FAILED', 'another release became current meanwhile');
        }
        await cluster.annotate(...trial.object, watchedAnnotation, JSON.stringify({ candidate, watched }));
      },
      before,
      signal: context.signal,
      note,
    });
    // It is judged: another trial of the same release begins anew.
    await cluster.annotate(...trial.object, watchedAnnotation, undefined);
    note(describeSummary(summary));
    context.onCanary?.({ ...summary });
  } catch (error) {
    if (error instanceof MaasError && error.code === 'MAAS_CANARY_FAILED' && error.details !== undefined) {
      context.onCanary?.(error.details as never);
    }
    await cluster.annotate(...trial.object, watchedAnnotation, undefined).catch(() => undefined);
    await trial.end();
    throw error;
  }
}

async function recall(
  cluster: Kubectl,
  { object }: ClusterTrial,
  candidate: string,
): Promise<Watched | undefined> {
  const found = await cluster.get<Deployment>(...object);
  const text = found?.metadata?.annotations?.[watchedAnnotation];
  if (text === undefined) return undefined;
  const kept = JSON.parse(text) as { readonly candidate: string; readonly watched: Watched };
  return kept.candidate === candidate ? kept.watched : undefined;
}

/** What each ready pod tells Prometheus, by its unique id. */
async function lookAtPods(run: TrialRun): Promise<Map<string, string>> {
  const { context, cluster, trial, port } = run;
  const { items } = await cluster.list<PodList>('pods', trial.pods);
  const pages = items.filter(isReady).map(async ({ metadata }): Promise<[string, string]> => {
    const { name = '', uid = name } = metadata ?? {};
    return [uid, await askPod(context, cluster, { name, port }, '/metrics')];
  });
  return new Map(await Promise.all(pages));
}

function isReady({ status, metadata }: Pod): boolean {
  const ready = status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True');
  return ready === true && metadata?.deletionTimestamp === undefined;
}

/** Pods beside `stable` ones that make up `percent` of all of them, as nearly as whole pods can. */
export function countPods(stable: number, percent: number): number {
  if (percent >= 100) return stable;
  return Math.max(1, Math.round((stable * percent) / (100 - percent)));
}

/** The release that an object announces. */
export function releaseOf(manifest: Manifest | undefined): string | undefined {
  return manifest?.metadata?.annotations?.[releaseLabel];
}
