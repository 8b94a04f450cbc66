import { setImmediate } from 'node:timers/promises';
import type { Table } from '../data/dataset.js';
import { gatherRows } from '../data/rows.js';
import { openSession, type Feeds, type Session } from '../runtime/session.js';

export interface LatencyOptions {
  /** Pairs of measurements per batch size, at most: a slow model gets as many as fit in two seconds. Default 240. */
  readonly rounds?: number;
  readonly signal?: AbortSignal;
  /**
   * Ratio that the second model must not exceed: once it does with 99 % confidence, nothing more is measured, and the
   * requests after that one are left out.
   */
  readonly limit?: number;
}

export interface Latency {
  readonly batch: number;
  /** Median time of one run of the first model, in microseconds. */
  readonly before: number;
  /** Median time of one run of the second, in microseconds. */
  readonly after: number;
  /** Median over the pairs of after / before: each pair sees the same load on the machine. */
  readonly ratio: number;
  /** Where that median lies with 99 % confidence. */
  readonly low: number;
  readonly high: number;
}

/** What a model is asked, and how many rows that is. */
export interface Request {
  readonly batch: number;
  readonly feeds: Feeds;
}

/** Requests of 1 row and of 64, from the table's first row on, round and round. */
export function requestsOf(table: Table, batches: readonly number[] = [1, 64]): Request[] {
  return batches.map((batch) => {
    const rows = Array.from({ length: batch }, (_, row) => row % table.rows);
    return { batch, feeds: gatherRows(table.inputs, rows) };
  });
}

/**
 * Milliseconds that one measurement lasts at least: far above the clock's steps, and so far below a scheduler's time
 * slice that on a busy machine, too, most measurements pass undisturbed, which is what a median needs.
 */
const leastBlock = 0.25;
/** Milliseconds after which no further round begins, once there are enough for a median that means something. */
const budget = 2000;
const leastRounds = 7;
/** Rounds before a model may be found too slow. */
const tellingRounds = 24;
/** The first runs of a session allocate its buffers and warm the caches. */
const warmUps = { runs: 30, budget: 300 };

/**
 * Times two models against each other in this process, one thread each: first one, then the other, then the other way
 * round, so that what else the machine does hits both alike.
 */
export async function compareLatency(
  before: Uint8Array | string,
  after: Uint8Array | string,
  requests: readonly Request[],
  options: LatencyOptions = {},
): Promise<Latency[]> {
  const { limit = Infinity } = options;
  const sessions: Session[] = [];
  try {
    const first = await openSession(before);
    sessions.push(first);
    const second = await openSession(after);
    sessions.push(second);
    const results: Latency[] = [];
    for (const { batch, feeds } of requests) {
      const found = await comparePair(first, second, feeds, options);
      results.push({ batch, ...found });
      if (found.low > limit) break;
    }
    return results;
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
  }
}

async function comparePair(
  first: Session,
  second: Session,
  feeds: Feeds,
  { rounds = 240, signal, limit = Infinity }: LatencyOptions,
): Promise<Omit<Latency, 'batch'>> {
  const once = await warmUp(first, feeds);
  await warmUp(second, feeds);
  const runs = Math.max(1, Math.ceil(leastBlock / once));
  const times: { before: number; after: number }[] = [];
  const start = performance.now();
  for (let round = 0; round < rounds; round++) {
    if (round >= leastRounds && performance.now() - start > budget) break;
    if (round >= tellingRounds && round % 8 === 0 && medianInterval(times.map(ratioOf)).low > limit) break;
    signal?.throwIfAborted();
    // Lets timers and signals through: running a model blocks the thread.
    await setImmediate();
    if (round % 2 === 0) {
      const one = await time(first, feeds, runs);
      times.push({ before: one, after: await time(second, feeds, runs) });
    } else {
      const two = await time(second, feeds, runs);
      times.push({ before: await time(first, feeds, runs), after: two });
    }
  }
  const ratios = times.map(ratioOf);
  return {
    before: median(times.map((pair) => pair.before)) * 1000,
    after: median(times.map((pair) => pair.after)) * 1000,
    ratio: median(ratios),
    ...medianInterval(ratios),
  };
}

const ratioOf = (pair: { before: number; after: number }): number => pair.after / pair.before;

/** @returns the time of a run when warm, in milliseconds. */
async function warmUp(session: Session, feeds: Feeds): Promise<number> {
  const start = performance.now();
  let last = Infinity;
  for (let run = 0; run < warmUps.runs && performance.now() - start < warmUps.budget; run++) {
    last = Math.min(last, await time(session, feeds, 1));
  }
  return last;
}

/** Mean time of a run, in milliseconds. */
async function time(session: Session, feeds: Feeds, runs: number): Promise<number> {
  const start = performance.now();
  for (let run = 0; run < runs; run++) await session.run(feeds);
  return (performance.now() - start) / runs;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Where the median of what the values are drawn from lies with 99 % confidence, by their ranks. */
export function medianInterval(values: readonly number[]): { low: number; high: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const reach = (2.576 * Math.sqrt(sorted.length)) / 2;
  const middle = (sorted.length - 1) / 2;
  const low = sorted[Math.max(0, Math.floor(middle - reach))]!;
  return { low, high: sorted[Math.min(sorted.length - 1, Math.ceil(middle + reach))]! };
}
