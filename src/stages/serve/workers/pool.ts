import type { Feeds, Slots } from '../../../runtime/session.js';
import type { Outputs } from '../batcher.js';
import { WorkerLost } from '../request-error.js';
import { Member, type WorkerSetup } from './member.js';
import type { SpareThread } from '../../../runtime/thread/spare-thread.js';

export interface PoolOptions {
  readonly setup: WorkerSetup;
  readonly size: number;
  /** Milliseconds after which a run is taken for hung. */
  readonly runTimeout: number;
  /** Runs a worker in once its model is open, before it takes requests. */
  readonly warmUp: (run: (feeds: Feeds) => Promise<Outputs>, slots: Slots) => Promise<void>;
  /** Throws where what a worker has opened may be another model than the others have. */
  readonly verify?: () => Promise<void>;
  /** Told when a worker dies, hangs or does not start; another takes its place. */
  readonly onLost: (reason: string) => void;
  /** Script of the workers. */
  readonly entry?: URL;
  /** Whether rows do not depend on each other. */
  readonly apart?: () => boolean;
  /** Runs that a worker has waiting behind the one under way, so that it never waits for the next. Default 0. */
  readonly ahead?: number;
  /** The first worker's, which has been started already. */
  readonly spare?: SpareThread | undefined;
}

/** In milliseconds, between tries to start a worker that fails to. */
const [firstPause, longestPause] = [100, 5000];

/** The runs that a worker has been given, and the time that is left to the first of them. */
interface Load {
  runs: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Worker threads with the same model. A worker that dies or hangs fails the runs that it had, once, and is replaced; while
 * none is up the pool is not ready. Threads are never ended inside a run.
 */
export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #members = new Map<Member, Load>();
  readonly #wanting: { resolve: (member: Member) => void; reject: (error: Error) => void }[] = [];
  readonly #starts = new Set<Promise<void>>();
  #pause: { timer: NodeJS.Timeout; resolve: () => void } | undefined;
  #hung = 0;
  #closed = false;

  private constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Resolves when the first worker is up; the others follow. @throws what starting the first one throws. */
  static async open(options: PoolOptions): Promise<WorkerPool> {
    const pool = new WorkerPool(options);
    await pool.#add();
    for (let count = 1; count < options.size; count++) pool.#keepAdding();
    return pool;
  }

  get size(): number {
    return this.#options.size;
  }

  get ready(): boolean {
    return this.#members.size > 0;
  }

  /** False once as many threads hang as there should be workers: only a new process gets rid of them. */
  get live(): boolean {
    return this.#hung < this.#options.size;
  }

  /** @throws WorkerLost when the worker dies or hangs in this run, or none is up; what the model throws otherwise. */
  async run(feeds: Feeds, owned = false): Promise<Outputs> {
    const member = await this.#take();
    try {
      return await member.run(feeds, owned, this.#options.apart?.());
    } finally {
      this.#give(member);
    }
  }

  /** Ends every worker; call it when no run is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#pause) {
      clearTimeout(this.#pause.timer);
      this.#pause.resolve();
    }
    await Promise.all([...this.#members.keys()].map((member) => member.close()));
    await Promise.all(this.#starts);
  }

  #take(): Promise<Member> {
    const member = this.#findFree();
    if (member) return Promise.resolve(this.#engage(member));
    if (!this.ready) return Promise.reject(new WorkerLost("the model's workers are being restarted"));
    return new Promise((resolve, reject) => this.#wanting.push({ resolve, reject }));
  }

  /** The one with the fewest runs. */
  #findFree(): Member | undefined {
    let [found, fewest] = [undefined as Member | undefined, (this.#options.ahead ?? 0) + 1];
    for (const [member, { runs }] of this.#members) if (runs < fewest) [found, fewest] = [member, runs];
    return found;
  }

  /** For one more run. It has its time from when those before it have ended. */
  #engage(member: Member): Member {
    const load = this.#members.get(member)!;
    if (++load.runs > 1) return member;
    const { runTimeout } = this.#options;
    load.timer = setTimeout(() => {
      this.#hung++;
      const reason = `a run of the model did not end within ${runTimeout / 1000} s`;
      member.abandon(reason);
      this.#lose(member, reason);
    }, runTimeout);
    return member;
  }

  #give(member: Member): void {
    const load = this.#members.get(member);
    if (!load) return;
    if (--load.runs > 0) load.timer!.refresh();
    else clearTimeout(load.timer);
    this.#serveNext(member);
  }

  #serveNext(member: Member): void {
    const next = this.#wanting.shift();
    if (next) next.resolve(this.#engage(member));
  }

  #lose(member: Member, reason: string): void {
    const load = this.#members.get(member);
    if (!load) return;
    clearTimeout(load.timer);
    this.#members.delete(member);
    if (!this.ready) {
      for (const { reject } of this.#wanting.splice(0)) reject(new WorkerLost(reason));
    }
    this.#options.onLost(reason);
    if (this.live) this.#keepAdding();
  }

  #keepAdding(): void {
    const work = this.#tryAdding().finally(() => this.#starts.delete(work));
    this.#starts.add(work);
  }

  async #tryAdding(): Promise<void> {
    for (let pause = firstPause; !this.#closed; pause = Math.min(2 * pause, longestPause)) {
      try {
        await this.#add();
        return;
      } catch (error) {
        this.#options.onLost(error instanceof Error ? error.message : String(error));
      }
      await new Promise<void>((resolve) => {
        this.#pause = { timer: setTimeout(resolve, pause), resolve };
      });
    }
  }

  async #add(): Promise<void> {
    const { setup, verify, warmUp, entry, spare } = this.#options;
    const onLost = (reason: string): void => {
      this.#lose(member, reason);
    };
    const member: Member = await Member.open(entry, setup, onLost, spare);
    try {
      await verify?.();
      await warmUp((feeds) => member.run(feeds, false), member.slots);
    } catch (error) {
      await member.close();
      throw error;
    }
    if (this.#closed) return member.close();
    this.#members.set(member, { runs: 0, timer: undefined });
    for (let runs = this.#options.ahead ?? 0; runs >= 0; runs--) this.#serveNext(member);
  }
}
