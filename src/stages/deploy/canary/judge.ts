import type { CanaryOptions } from '../../../plugin/api.js';
import type { Figures } from './figures.js';

/** What was seen since a canary began. */
export interface Watched {
  readonly seconds: number;
  readonly stable: Figures;
  readonly candidate: Figures;
}

/** Undefined while it is too early to tell. */
export type Verdict =
  | { readonly passed: true }
  | { readonly passed: false; readonly reason: string }
  | undefined;

/** The figures as people compare them. Times are means, in milliseconds; what was never measured is undefined. */
export interface Summary {
  readonly seconds: number;
  /** Requests that the candidate was given: those it answered to callers, and those it was shadowed with. */
  readonly requests: number;
  readonly shadowed: number;
  readonly errors: number;
  readonly errorRate: number;
  readonly different: number;
  readonly dropped: number;
  /** No difference of two numbers in the shadow's answers was greater than this. */
  readonly greatestDifference?: number;
  /** Of a request that it answered, and of one that the current release answered. */
  readonly meanMs?: number;
  readonly stableMeanMs?: number;
  /** Of a run of either model: what one release takes from the processors slows the other's requests, too. */
  readonly runMs?: number;
  readonly stableRunMs?: number;
}

/** Fewest requests of either release by which times are compared. */
const fewest = 20;
/** Milliseconds: less than this is the machine's noise. */
const noise = 1;

export function summarize({ seconds, stable, candidate }: Watched): Summary {
  const of = (figures: Figures, name: string): number => figures[name] ?? 0;
  const shadowed = of(candidate, 'same') + of(candidate, 'different') + of(candidate, 'failed');
  const requests = of(candidate, 'requests') + shadowed;
  const errors = of(candidate, 'errors') + of(candidate, 'failed');
  const answerMs = (figures: Figures): number | undefined =>
    mean(of(figures, 'seconds'), of(figures, 'requests') - of(figures, 'errors'));
  const runMs = (figures: Figures): number | undefined =>
    mean(of(figures, 'runSeconds'), of(figures, 'runs'));
  const times = {
    meanMs: answerMs(candidate),
    stableMeanMs: answerMs(stable),
    runMs: runMs(candidate),
    stableRunMs: runMs(stable),
  };
  const greatest = boundOf(candidate);
  return {
    seconds,
    requests,
    shadowed,
    errors,
    errorRate: requests === 0 ? 0 : errors / requests,
    different: of(candidate, 'different'),
    dropped: of(candidate, 'dropped'),
    ...(greatest !== undefined && { greatestDifference: greatest }),
    ...Object.fromEntries(Object.entries(times).filter(([, time]) => time !== undefined)),
  };
}

/**
 * Whether a candidate may take all requests. Errors count at once: as soon as there are more than there may be among all
 * that it has to be given. All else counts when it has been given enough.
 */
export function judge(options: CanaryOptions, watched: Watched): Verdict {
  const seen = summarize(watched);
  const { requests, errors, errorRate, different, shadowed } = seen;
  const fail = (reason: string): Verdict => ({ passed: false, reason });
  if (errors > options.maxErrorRate * Math.max(requests, options.requests)) {
    return fail(`${errors} of ${requests} requests failed, ${percent(options.maxErrorRate)} may`);
  }
  if (requests < options.requests) {
    if (watched.seconds < options.giveUpMinutes * 60) return undefined;
    return fail(
      `only ${requests} requests came in ${options.giveUpMinutes} minutes, ${options.requests} are needed to judge it`,
    );
  }
  if (errorRate > options.maxErrorRate) return fail(`${percent(errorRate)} of its requests failed`);
  const slow =
    tellSlow(options, 'a request', seen.meanMs, seen.stableMeanMs) ??
    tellSlow(options, 'a run', seen.runMs, seen.stableRunMs);
  if (slow !== undefined) return fail(slow);
  const { maxDifferentRate = 1 } = options;
  if (different > maxDifferentRate * shadowed) {
    return fail(
      `it answers ${different} of ${shadowed} requests otherwise, ${percent(maxDifferentRate)} may be`,
    );
  }
  return watched.seconds < options.minutes * 60 ? undefined : { passed: true };
}

function tellSlow(
  { maxLatencyRatio }: CanaryOptions,
  what: string,
  now: number | undefined,
  before: number | undefined,
): string | undefined {
  if (now === undefined || before === undefined) return undefined;
  if (now <= before * maxLatencyRatio || now - before <= noise) return undefined;
  const ratio = (now / before).toFixed(2);
  return `${what} takes ${now.toFixed(1)} ms, ${ratio} times the ${before.toFixed(1)} ms of the current release; ${maxLatencyRatio} times is allowed`;
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`;
}

/** In milliseconds. */
function mean(seconds: number, count: number): number | undefined {
  return count < fewest ? undefined : (seconds / count) * 1000;
}

/** The lowest bound of the histogram that all differences are below. */
function boundOf(figures: Figures): number | undefined {
  const buckets = Object.entries(figures)
    .filter(([name]) => name.startsWith('difference<='))
    .map(
      ([name, count]) =>
        [Number(name.slice('difference<='.length).replace('+Inf', 'Infinity')), count] as const,
    )
    .sort(([a], [b]) => a - b);
  const all = buckets.at(-1)?.[1] ?? 0;
  const bound = all === 0 ? undefined : buckets.find(([, count]) => count === all)?.[0];
  // Above all bounds there is none.
  return bound === Infinity ? undefined : bound;
}
