import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { MaasError } from '../../../errors.js';
import type { CanaryOptions } from '../../../plugin/api.js';
import { addUp, type Figures, increase, readFigures, readPresence } from './figures.js';
import { judge, summarize, type Summary, type Watched } from './judge.js';

export interface CanaryWatch {
  readonly options: CanaryOptions;
  /** Digests of the releases. */
  readonly stable: string;
  readonly candidate: string;
  /** The text of `/metrics` of each server, by a name that stays. */
  readonly look: () => Promise<ReadonlyMap<string, string>>;
  /** Told every few seconds what was seen so far, and at the end; what it throws ends the canary. */
  readonly keep: (watched: Watched) => Promise<void>;
  /** What was seen before a kill. */
  readonly before?: Watched | undefined;
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
  /** Milliseconds between looks. Default 1000. */
  readonly pause?: number;
}

/** Seconds without an answer of any server after which the canary is given up. */
const patience = 30;
/** Seconds in which requests wait for the candidate and none is answered. */
const stuckAfter = 10;
/** Seconds between notes of what was seen. */
const keepEvery = 5;

/**
 * Watches a candidate at work until it can be judged.
 * @returns its figures when it may take all requests.
 * @throws MaasError MAAS_CANARY_FAILED with the figures when it may not, MAAS_CANARY_SERVER when no server can be asked.
 */
export async function watchCanary(watch: CanaryWatch): Promise<Summary> {
  const { options, stable, candidate, signal, note, pause = 1000 } = watch;
  let watched: Watched = watch.before ?? { seconds: 0, stable: {}, candidate: {} };
  const last = new Map<string, readonly [Figures, Figures]>();
  let [clock, kept, answered, moved] = Array<number>(4).fill(performance.now()) as [
    number,
    number,
    number,
    number,
  ];
  for (;;) {
    const now = performance.now();
    const since = (moment: number): number => (now - moment) / 1000;
    watched = { ...watched, seconds: watched.seconds + since(clock) };
    clock = now;
    const pages = await watch.look().catch((error: unknown) => {
      signal.throwIfAborted();
      if (since(answered) > patience) throw silent(error);
      return new Map<string, string>();
    });
    if (pages.size > 0) answered = now;
    let waiting = 0;
    for (const [source, text] of pages) {
      const [was, is] = [
        last.get(source),
        [readFigures(text, stable), readFigures(text, candidate)] as const,
      ];
      last.set(source, is);
      const more = increase(was?.[1], is[1]);
      if ((more['requests'] ?? 0) > 0 || (more['runs'] ?? 0) > 0) moved = now;
      waiting += readPresence(text, candidate).waiting;
      watched = {
        ...watched,
        stable: addUp(watched.stable, increase(was?.[0], is[0])),
        candidate: addUp(watched.candidate, more),
      };
    }
    if (waiting === 0) moved = now;
    const verdict =
      since(moved) > stuckAfter
        ? { passed: false as const, reason: `requests wait for it, and it answers none for ${stuckAfter} s` }
        : judge(options, watched);
    if (verdict !== undefined || since(kept) >= keepEvery) {
      await watch.keep(watched);
      kept = now;
    }
    const summary = summarize(watched);
    if (verdict?.passed === true) return summary;
    if (verdict !== undefined) throw refused(candidate, verdict.reason, summary);
    note(`watching ${candidate.slice(0, 12)}: ${describeSummary(summary)}`);
    await wait(pause, undefined, { signal });
  }
}

export function describeSummary(summary: Summary): string {
  const { seconds, requests, shadowed, errors, meanMs, stableMeanMs, different } = summary;
  return [
    `${requests} requests in ${Math.round(seconds)} s`,
    `${errors} failed`,
    ...(meanMs === undefined ? [] : [`${meanMs.toFixed(1)} ms each`]),
    ...(meanMs === undefined || stableMeanMs === undefined
      ? []
      : [`${stableMeanMs.toFixed(1)} ms with the current release`]),
    ...(shadowed === 0 ? [] : [`${different} of ${shadowed} shadowed ones answered otherwise`]),
  ].join(', ');
}

function refused(candidate: string, reason: string, summary: Summary): MaasError {
  return new MaasError(
    'MAAS_CANARY_FAILED',
    `release ${candidate.slice(0, 12)} is not switched to: ${reason}`,
    {
      details: { ...summary },
    },
  );
}

function silent(cause: unknown): MaasError {
  return new MaasError(
    'MAAS_CANARY_SERVER',
    `no server tells how the release does: ${(cause as Error).message}`,
    {
      cause,
    },
  );
}
