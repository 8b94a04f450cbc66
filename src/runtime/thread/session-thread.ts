import { isDeepStrictEqual } from 'node:util';
import { Worker } from 'node:worker_threads';
import { MaasError, type ErrorCode } from '../../errors.js';
import type { NdArray } from '../../ir/tensor.js';
import { ownFile } from '../../own-files.js';
import type { Feeds, SessionOptions, Slots } from '../session.js';
import type { BankPlan } from './bank.js';
import {
  buffersOf,
  packArrays,
  type Order,
  type Report,
  type RunOptions,
  type Task,
  type Walk,
} from './messages.js';

/** The thread that had the order is gone, and with it what it kept. */
export class ThreadLost extends Error {
  override readonly name = 'ThreadLost';
}

interface Answer {
  readonly arrays: Record<string, NdArray>;
  /** Arrays that were lent. */
  readonly returned: Feeds;
}

/** A model that is open in a session thread. */
export interface ThreadSession {
  readonly slots: Slots;
  /** `owned` arrays are the callee's to give away. @throws ThreadLost when the thread dies meanwhile. */
  run(feeds: Feeds, options?: RunOptions & { readonly owned?: boolean }): Promise<Record<string, NdArray>>;
  /** Takes the arrays over for the time of the run, and returns them to be filled again. */
  runLent(feeds: Feeds, options?: RunOptions): Promise<Answer>;
  /**
   * Runs once for each part along the first axis of the feeds, which are lent, and the banks' kernels after each.
   * @returns Under `walk.tell` what it told each time, [count].
   */
  walk(feeds: Feeds, walk: Walk): Promise<Answer>;
  close(): Promise<void>;
}

interface Waiter {
  readonly resolve: (report: Report) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A thread of its own for sessions: `session.run` blocks the thread that calls it. Orders are carried out one after
 * another. What a run keeps there goes into the next run without a copy.
 */
export class SessionThread {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #waiters = new Map<number, Waiter>();
  /** Told once, when the thread dies unasked. */
  onLost: ((reason: string) => void) | undefined;
  #orders = 0;
  #ended = false;
  #lost: ThreadLost | undefined;
  #ahead: { readonly asked: unknown; readonly session: Promise<ThreadSession> } | undefined;

  /** @param options.entry Its script. */
  constructor({
    onLost,
    entry = ownFile('dist/runtime/thread/worker.js'),
  }: { onLost?: (reason: string) => void; entry?: URL } = {}) {
    this.onLost = onLost;
    this.#worker = new Worker(entry, { execArgv: [] });
    this.#worker.on('message', (report: Report) => {
      this.#settle(report);
    });
    this.#worker.on('error', (error) => {
      this.#lose(error.message);
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        this.#lose(`its thread ended with ${code}`);
        resolve();
      });
    });
  }

  /**
   * Opens a model; pass its path when it has external data. The thread gets a copy of the bytes.
   * @throws MaasError MAAS_MODEL_INVALID when the runtime refuses it. @throws ThreadLost
   */
  open(model: Uint8Array | string, options: SessionOptions = {}): Promise<ThreadSession> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead && isDeepStrictEqual(ahead.asked, [model, options])) return ahead.session;
    ahead?.session.then(
      (session) => session.close(),
      () => undefined,
    );
    return this.#open(model, options);
  }

  /**
   * Begins to open a model, for an `open` to come: it gets this session if it asks for the same. Resolves when that is open,
   * or refused.
   */
  async openAhead(model: string, options: SessionOptions): Promise<void> {
    const session = this.#open(model, options);
    this.#ahead = { asked: [model, options], session };
    await session.catch(() => undefined);
  }

  async #open(model: Uint8Array | string, options: SessionOptions): Promise<ThreadSession> {
    const report = await this.#order({ do: 'open', model, options });
    const { session, slots } = report as Extract<Report, { session: number }>;
    const run = async (
      feeds: Feeds,
      options: RunOptions,
      lent: boolean,
      transfer: ArrayBuffer[],
    ): Promise<Answer> => {
      const answer = await this.#order({ do: 'run', session, feeds, options, lent }, transfer);
      const { arrays, returned = {} } = answer as Extract<Report, { arrays: Feeds }>;
      return { arrays, returned };
    };
    return {
      slots,
      run: async (feeds, { owned = false, ...options } = {}) => {
        const { packed, transfer } = packArrays(feeds, owned);
        return (await run(packed, options, false, transfer)).arrays;
      },
      runLent: (feeds, options = {}) => run(feeds, options, true, buffersOf(feeds)),
      walk: async (feeds, walk) => {
        const answer = await this.#order({ do: 'walk', session, feeds, walk }, buffersOf(feeds));
        const { arrays, returned = {} } = answer as Extract<Report, { arrays: Feeds }>;
        return { arrays, returned };
      },
      close: async () => {
        await this.#order({ do: 'release', session });
      },
    };
  }

  /** Keeps copies of tensors in the thread, or the tensors themselves when they are `owned`. */
  async put(tensors: Feeds, owned = false): Promise<void> {
    const { packed, transfer } = packArrays(tensors, owned);
    await this.#order({ do: 'put', tensors: packed }, transfer);
  }

  /** Keeps tensors side by side from now on. What is put under their names, or kept, is copied there. */
  async arrange(banks: readonly BankPlan[]): Promise<void> {
    await this.#order({ do: 'arrange', banks });
  }

  /** Copies of what the thread keeps. */
  async read(names: readonly string[]): Promise<Record<string, NdArray>> {
    const report = await this.#order({ do: 'read', names });
    return (report as Extract<Report, { arrays: Feeds }>).arrays;
  }

  /** Gives up on what does not end: the thread may not be ended inside a run, and ends itself should it come out. */
  abandon(reason: string): void {
    this.#end();
    this.#fail(reason);
    this.#worker.unref();
  }

  /** Ends the thread once it is done with what it was told before. */
  async close(): Promise<void> {
    this.#end();
    await this.#exited;
    this.#fail('it was closed');
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#worker.postMessage({ id: 0, do: 'close' } satisfies Order);
  }

  #lose(reason: string): void {
    const asked = this.#ended;
    this.#ended = true;
    this.#fail(reason);
    if (!asked) this.onLost?.(reason);
  }

  #fail(reason: string): void {
    this.#lost ??= new ThreadLost(reason);
    for (const { reject } of this.#waiters.values()) reject(this.#lost);
    this.#waiters.clear();
  }

  #order(task: Task, transfer: ArrayBuffer[] = []): Promise<Report> {
    return new Promise((resolve, reject) => {
      if (this.#lost) {
        reject(this.#lost);
        return;
      }
      const id = ++this.#orders;
      this.#waiters.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...task } satisfies Order, transfer);
    });
  }

  #settle(report: Report): void {
    const waiter = this.#waiters.get(report.id);
    this.#waiters.delete(report.id);
    if (!('failed' in report)) waiter?.resolve(report);
    else {
      const { message, code } = report.failed;
      waiter?.reject(code === undefined ? new Error(message) : new MaasError(code as ErrorCode, message));
    }
  }
}
