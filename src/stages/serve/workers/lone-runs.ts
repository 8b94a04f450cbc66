import type { Feeds } from '../../../runtime/session.js';
import type { Outputs } from '../batcher.js';

/** What runs a model: the pool of workers, or a worker of more threads beside it. */
export interface Lane {
  readonly ready: boolean;
  run(feeds: Feeds, owned: boolean): Promise<Outputs>;
  close(): Promise<void>;
}

export interface LoneRunsOptions {
  /** Takes whatever does not run alone, and all of it until another is known to be faster. */
  readonly pool: Lane;
  readonly cores: number;
  /** Opens the model once more, for runs in so many threads. */
  readonly open: (threads: number) => Promise<Lane>;
  /** Told how many threads a run has that is alone; why there are no more, where they could not be had. */
  readonly onChoice?: (threads: number, error?: Error) => void;
  /** The clock, in milliseconds. */
  readonly now?: () => number;
}

interface Candidate {
  readonly lane: Lane;
  readonly threads: number;
  /** How long its runs took, in milliseconds, while two are compared. */
  times: number[];
}

/** Lone runs before more threads are tried: a model that hardly anybody asks is not worth a second session. */
const runsBefore = 3;

/** And before they are tried once more, twice as many each time: what else the machine did may have made them slow. */
const runsBeforeNext = 500;

/** Runs of each of two lanes before one is chosen. */
const runsToCompare = 12;

/** How many times faster a lane must be for what its session and its threads take from others. */
const fasterBy = 1.15;

/**
 * Workers of one thread each give the most answers a second, but leave all cores but one idle while a single caller waits. A
 * run that begins while no other is under way therefore goes to a worker of more threads, if that is faster: whether it is,
 * and how many threads are worth while, is measured on the requests themselves, in turn here and there. Twice as many
 * threads are tried as long as they win, and later once more.
 */
export class LoneRuns implements Lane {
  readonly #options: LoneRunsOptions;
  readonly #now: () => number;
  #best: Candidate;
  #rival: Candidate | undefined;
  #opening: Promise<void> | undefined;
  #leaving: Promise<void> | undefined;
  /** Lone runs until more threads are tried; none are where it is infinite. */
  #wait = runsBefore;
  #nextWait = runsBeforeNext;
  #running = 0;
  #begun = 0;

  constructor(options: LoneRunsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#best = { lane: options.pool, threads: 1, times: [] };
  }

  get ready(): boolean {
    return this.#options.pool.ready;
  }

  async run(feeds: Feeds, owned: boolean): Promise<Outputs> {
    const chosen = this.#running === 0 ? this.#choose() : undefined;
    const turn = ++this.#begun;
    this.#running++;
    const start = this.#now();
    try {
      const outputs = await (chosen?.lane ?? this.#options.pool).run(feeds, owned);
      // Another that began meanwhile took from this one's time.
      if (chosen && this.#rival && this.#begun === turn) {
        chosen.times.push(this.#now() - start);
        this.#compare(this.#rival);
      }
      return outputs;
    } finally {
      this.#running--;
    }
  }

  async close(): Promise<void> {
    await this.#opening;
    await this.#leaving;
    const { pool } = this.#options;
    const lanes = new Set([pool, this.#best.lane, ...(this.#rival ? [this.#rival.lane] : [])]);
    await Promise.all([...lanes].map((lane) => lane.close()));
  }

  #choose(): Candidate | undefined {
    if (!this.#rival && this.#wait-- <= 0) this.#opening ??= this.#openRival();
    const [best, rival] = [this.#best, this.#rival];
    const chosen = rival?.lane.ready === true && rival.times.length < best.times.length ? rival : best;
    return chosen.lane.ready ? chosen : undefined;
  }

  async #openRival(): Promise<void> {
    const threads = Math.min(2 * this.#best.threads, this.#options.cores);
    try {
      const lane = await this.#options.open(threads);
      // What was measured before was measured while this one was opened.
      this.#best.times = [];
      this.#rival = { lane, threads, times: [] };
    } catch (error) {
      this.#wait = Infinity;
      this.#options.onChoice?.(this.#best.threads, error as Error);
    }
    this.#opening = undefined;
  }

  #compare(rival: Candidate): void {
    const best = this.#best;
    if (Math.min(best.times.length, rival.times.length) < runsToCompare) return;
    this.#rival = undefined;
    const wins = median(best.times) >= fasterBy * median(rival.times);
    const loser = wins ? best.lane : rival.lane;
    if (wins) {
      this.#best = rival;
      this.#wait = rival.threads < this.#options.cores ? 0 : Infinity;
      this.#options.onChoice?.(rival.threads);
    } else {
      this.#wait = this.#nextWait;
      this.#nextWait *= 2;
    }
    // Nothing runs in it any more: what was measured began alone, and has ended.
    if (loser !== this.#options.pool) this.#leaving = loser.close();
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
