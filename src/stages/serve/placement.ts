import { availableParallelism, totalmem } from 'node:os';
import type { Feeds } from '../../runtime/session.js';
import { joinRows } from '../../runtime/rows.js';

/** Larger models go to workers unmeasured: to open one here would hold up every request under way. In bytes. */
export const largestToTry = 4 * 1024 * 1024;

/** A run that takes longer than this holds up the thread that reads requests. In milliseconds. */
const longestInline = 1;

/** A shorter run is over before a worker would have had the rows and given the answer back. In milliseconds. */
const longestBeside = 0.2;

/** How much of the memory the workers' copies of the model may take together. */
const memoryShare = 0.5;

export function isTooLargeToTry(model: Uint8Array | string): boolean {
  return typeof model === 'string' || model.length > largestToTry;
}

/** Memory that this process may take, in bytes. */
export function readMemoryLimit(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** Cores for one of so many processes that serve the same. */
export function countCores(processes = 1): number {
  return Math.max(1, Math.floor(availableParallelism() / processes));
}

/**
 * How many times memory can hold the model; onnxruntime packs weights anew, so that each takes twice.
 * @param processes That share it.
 */
export function countCopies(modelBytes: number, processes = 1): number {
  return Math.floor((readMemoryLimit() * memoryShare) / processes / Math.max(1, 2 * modelBytes));
}

/** As many workers as cores can feed and memory can hold. @param processes That share them. */
export function countWorkers(modelBytes: number, threads: number, processes = 1): number {
  const byCores = Math.floor(countCores(processes) / threads);
  return Math.max(1, Math.min(byCores, countCopies(modelBytes, processes)));
}

/**
 * True when a run of `maxBatchSize` rows is short enough for the thread that reads requests. One row first: where that
 * is too long already, no batch is tried.
 * @param now the clock, in milliseconds
 */
export async function isQuick(
  run: (feeds: Feeds) => Promise<unknown>,
  row: Feeds,
  maxBatchSize: number,
  now: () => number = () => performance.now(),
): Promise<boolean> {
  for (const rows of maxBatchSize > 1 ? [1, maxBatchSize] : [1]) {
    if (!(await endsWithin(longestInline, rows, run, row, now))) return false;
  }
  return true;
}

/**
 * Of a model that is not quick: how many rows, a power of two, still take less than the way to a worker and back.
 * @param now the clock, in milliseconds
 * @returns 0 when not even one does.
 */
export async function countRowsBeside(
  run: (feeds: Feeds) => Promise<unknown>,
  row: Feeds,
  maxBatchSize: number,
  now: () => number = () => performance.now(),
): Promise<number> {
  let most = 0;
  for (let rows = 1; rows <= maxBatchSize; rows *= 2) {
    if (!(await endsWithin(longestBeside, rows, run, row, now))) break;
    most = rows;
  }
  return most;
}

/** Runs to find out whether one ends in time; more where it takes less than so many times as long. */
const [fewTries, mostTries, near] = [4, 16, 4];

async function endsWithin(
  limit: number,
  rows: number,
  run: (feeds: Feeds) => Promise<unknown>,
  row: Feeds,
  now: () => number = () => performance.now(),
): Promise<boolean> {
  const feeds = joinRows(new Array<Feeds>(rows).fill(row));
  // The least of some: others may be at work on this machine, and where it is a near thing, longer than for some runs.
  let least = Infinity;
  for (let round = 0; round < (least < near * limit ? mostTries : fewTries) && least >= limit; round++) {
    const start = now();
    await run(feeds);
    least = Math.min(least, now() - start);
  }
  return least < limit;
}

const batchSizes = [1, 2, 4, 8, 16, 32, 64, 128, 256] as const;

/** Milliseconds for each size; a larger one is not tried when one run takes longer than a caller should wait. */
const [trialTime, longestBatch] = [10, 100];

/** How much of the best throughput is enough. */
const enough = 0.95;

/**
 * The fewest rows in a run that give 95 % of the best throughput, in rows a second.
 * @param now the clock, in milliseconds
 */
export async function chooseBatchSize(
  run: (feeds: Feeds) => Promise<unknown>,
  row: Feeds,
  now: () => number = () => performance.now(),
): Promise<number> {
  const throughputs: { rows: number; throughput: number }[] = [];
  for (const rows of batchSizes) {
    const feeds = joinRows(new Array<Feeds>(rows).fill(row));
    let least = Infinity;
    const start = now();
    for (let round = 0; round < 2 || (round < 50 && now() - start < trialTime); round++) {
      const began = now();
      await run(feeds);
      least = Math.min(least, now() - began);
    }
    throughputs.push({ rows, throughput: rows / least });
    if (2 * least > longestBatch) break;
  }
  const best = Math.max(...throughputs.map(({ throughput }) => throughput));
  return throughputs.find(({ throughput }) => throughput >= enough * best)!.rows;
}
