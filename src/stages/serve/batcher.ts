import { setImmediate as nextTurn } from 'node:timers/promises';
import type { NdArray } from '../../ir/tensor.js';
import type { Urgency } from '../../plugin/api.js';
import type { Feeds } from '../../runtime/session.js';
import type { CheckedInputs } from './check-inputs.js';
import { busy, expired, queueFull, WorkerLost } from './request-error.js';
import { joinRows, splitRows } from '../../runtime/rows.js';

export type Outputs = Record<string, NdArray>;

/**
 * What may go into one run of the model: rows of several requests, a single row only (its answer would depend on the
 * rows beside it), or the one request as it came (the model has no batch dimension).
 */
export type RowPolicy = 'share' | 'alone' | 'as-given';

/** Runs the model once. `owned` feeds were made for this run: it may give them away. */
export type RunFeeds = (feeds: Feeds, rows: number, owned?: boolean) => Promise<Outputs>;

/**
 * Answers requests with the same key together.
 * Undefined when the outputs do not have exactly as many rows as the requests.
 */
export type RunTogether = (
  parts: readonly Feeds[],
  sizes: readonly number[],
  run: RunFeeds,
) => Promise<Outputs[] | undefined>;

/** Rows behind one another. */
export const runJoined: RunTogether = async (parts, sizes, run) =>
  splitRows(await run(joinRows(parts), sum(sizes), true), sizes);

export interface BatcherOptions {
  /** `owned` feeds were made for this run: it may give them away. */
  readonly run: (feeds: Feeds, owned: boolean) => Promise<Outputs>;
  /** Runs that may be under way at once. Default 1. */
  readonly concurrency?: number;
  readonly rows: RowPolicy;
  /** In rows. */
  readonly maxBatchSize: number;
  /** In requests. */
  readonly maxQueue: number;
  /** Milliseconds that a request may wait for others to fill its run. Default 0. */
  readonly maxDelay?: number;
  /** Default: `runJoined`. */
  readonly runTogether?: RunTogether | undefined;
  /** Told of every run: rows and seconds. */
  readonly onRun?: (rows: number, seconds: number) => void;
}

interface Job extends CheckedInputs {
  readonly priority: number;
  readonly arrived: number;
  readonly deadline: number;
  readonly timer: NodeJS.Timeout | undefined;
  readonly resolve: (outputs: Outputs) => void;
  readonly reject: (error: unknown) => void;
}

const defaultPriority = 5;

/**
 * Natural batching: what queued while the last run was busy goes into the next one, so that a lone request never waits
 * for company. Requests share a run only when they differ in nothing but their number of rows, and each gets back
 * exactly the rows it brought. More urgent requests go first, and those whose deadline is over are not run.
 */
export class Batcher {
  readonly #options: BatcherOptions;
  #rows: RowPolicy;
  #queue: Job[] = [];
  /** Each takes one batch after another, until nothing waits. */
  readonly #lanes = new Set<Promise<void>>();
  #running = 0;
  #closed = false;
  /** Ends the waits for company. */
  readonly #waits = new Set<() => void>();

  constructor(options: BatcherOptions) {
    this.#options = options;
    this.#rows = options.rows;
  }

  /** Requests that wait for a run. */
  get depth(): number {
    return this.#queue.length;
  }

  /** @throws RequestError 503 when the queue is full or the batcher is closed, 504 when the deadline is over. */
  submit(
    inputs: CheckedInputs,
    {
      priority = defaultPriority,
      deadline = Infinity,
    }: Partial<Record<keyof Urgency, number | undefined>> = {},
  ): Promise<Outputs> {
    if (this.#closed) return Promise.reject(busy('the model is being unloaded'));
    if (this.#queue.length >= this.#options.maxQueue) {
      return Promise.reject(queueFull(this.#queue.length));
    }
    const arrived = performance.now();
    if (deadline <= arrived) return Promise.reject(expired());
    return new Promise((resolve, reject) => {
      const timer =
        deadline === Infinity
          ? undefined
          : setTimeout(() => {
              this.#expire(job);
            }, deadline - arrived);
      const { feeds, rows, shapeKey } = inputs;
      const job: Job = { feeds, rows, shapeKey, priority, arrived, deadline, timer, resolve, reject };
      this.#enqueue(job);
      if (this.#lanes.size < this.#concurrency) this.#openLane();
      else if (this.#waits.size > 0 && this.#isFull()) this.#stopWaiting();
    });
  }

  /** Refuses what still waits and resolves when the runs under way have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWaiting();
    for (const job of this.#queue.splice(0)) {
      clearTimeout(job.timer);
      job.reject(busy('the model is being unloaded'));
    }
    await Promise.all(this.#lanes);
  }

  get #concurrency(): number {
    return this.#options.concurrency ?? 1;
  }

  /** Behind those that are as urgent. */
  #enqueue(job: Job): void {
    let at = this.#queue.length;
    while (at > 0 && this.#queue[at - 1]!.priority > job.priority) at--;
    this.#queue.splice(at, 0, job);
  }

  #expire(job: Job): void {
    const at = this.#queue.indexOf(job);
    if (at < 0) return;
    this.#queue.splice(at, 1);
    job.reject(expired());
  }

  /** Until the next run is full, or its first request has waited for so long as it may. */
  async #waitForCompany(): Promise<void> {
    const { maxDelay = 0 } = this.#options;
    const [first] = this.#queue;
    if (maxDelay === 0 || this.#rows !== 'share' || !first || this.#isFull()) return;
    const left = Math.min(first.arrived + maxDelay, first.deadline) - performance.now();
    if (left <= 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(end, left);
      this.#waits.add(end);
      const waits = this.#waits;
      function end(): void {
        clearTimeout(timer);
        waits.delete(end);
        resolve();
      }
    });
  }

  #isFull(): boolean {
    const [first] = this.#queue;
    const alike = this.#queue.filter((job) => job.shapeKey === first?.shapeKey);
    return sum(alike.map((job) => job.rows)) >= this.#options.maxBatchSize;
  }

  #stopWaiting(): void {
    for (const end of this.#waits) end();
  }

  #openLane(): void {
    const lane = this.#runAll().finally(() => {
      this.#lanes.delete(lane);
      // A request that came while this lane found nothing more to do.
      if (this.#queue.length > 0 && this.#lanes.size < this.#concurrency) this.#openLane();
    });
    this.#lanes.add(lane);
  }

  async #runAll(): Promise<void> {
    while (this.#queue.length > 0) {
      // A run may block this thread: one turn of the event loop between two runs takes in the requests that came meanwhile.
      await nextTurn();
      await this.#waitForCompany();
      const batch = this.#takeBatch();
      if (batch.length === 0) continue;
      for (const { timer } of batch) clearTimeout(timer);
      this.#running++;
      await this.#runBatch(batch);
      this.#running--;
    }
  }

  /** The first request and those behind it that fit into its run. */
  #takeBatch(): Job[] {
    // A run that blocked this thread held up its timers, too.
    const now = performance.now();
    for (const job of this.#queue) if (job.deadline <= now) job.reject(expired());
    this.#queue = this.#queue.filter((job) => job.deadline > now);
    const [first, ...others] = this.#queue;
    if (!first) return [];
    if (this.#rows !== 'share') {
      this.#queue = others;
      return [first];
    }
    const limit = this.#shareOfRows();
    const batch = [first];
    const rest: Job[] = [];
    let rows = first.rows;
    let full = false;
    for (const job of others) {
      const alike = job.shapeKey === first.shapeKey;
      // Once one does not fit, later ones of its kind must not overtake it.
      if (alike && rows + job.rows > limit) full = true;
      if (alike && !full) {
        batch.push(job);
        rows += job.rows;
      } else rest.push(job);
    }
    this.#queue = rest;
    return batch;
  }

  /** What waits is shared out among the lanes that are free: two half batches side by side end before a whole one. */
  #shareOfRows(): number {
    const free = Math.max(1, this.#concurrency - this.#running);
    const waiting = free === 1 ? Infinity : sum(this.#queue.map((job) => job.rows));
    return Math.min(this.#options.maxBatchSize, Math.ceil(waiting / free));
  }

  async #runBatch(batch: readonly Job[]): Promise<void> {
    if (batch.length > 1) {
      const { runTogether = runJoined } = this.#options;
      try {
        const parts = await runTogether(
          batch.map((job) => job.feeds),
          batch.map((job) => job.rows),
          (...run) => this.#run(...run),
        );
        // A model that mixes or drops rows despite its signature never gets a second chance to do so.
        if (!parts) this.#rows = 'alone';
        else {
          batch.forEach((job, index) => {
            job.resolve(parts[index]!);
          });
          return;
        }
      } catch (error) {
        if (error instanceof WorkerLost) {
          for (const job of batch) job.reject(error);
          return;
        }
        // One request may have failed the others: run them singly, so that only that one fails.
      }
    }
    for (const job of batch) {
      await this.#runAlone(job).then(job.resolve, job.reject);
    }
  }

  async #runAlone({ feeds, rows }: Job): Promise<Outputs> {
    const single = this.#rows === 'alone' && rows > 1 && splitRows(feeds, new Array<number>(rows).fill(1));
    if (!single) return this.#run(feeds, rows);
    const answers: Outputs[] = [];
    for (const row of single) answers.push(await this.#run(row, 1));
    return joinRows(answers);
  }

  async #run(feeds: Feeds, rows: number, owned = false): Promise<Outputs> {
    const start = performance.now();
    try {
      return await this.#options.run(feeds, owned);
    } finally {
      this.#options.onRun?.(rows, (performance.now() - start) / 1000);
    }
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
