import { MaasError } from '../../../errors.js';
import { tensorsOf, type Feeds, type SessionOptions, type Slots } from '../../../runtime/session.js';
import { SessionThread, ThreadLost, type ThreadSession } from '../../../runtime/thread/session-thread.js';
import type { Outputs } from '../batcher.js';
import { WorkerLost } from '../request-error.js';

/** What a worker is started with. */
export interface WorkerSetup {
  /** Bytes of the model; its path when it has external data. */
  readonly model: Uint8Array | string;
  readonly session: SessionOptions;
  /** Outputs that are wanted; undefined for all tensors that it gives. */
  readonly fetches: readonly string[] | undefined;
}

/** One worker thread with the model open in it. Takes one run at a time. */
export class Member {
  readonly #thread: SessionThread;
  readonly #session: ThreadSession;
  readonly #fetches: readonly string[];
  #abandoned: string | undefined;

  private constructor(thread: SessionThread, session: ThreadSession, fetches: readonly string[]) {
    this.#thread = thread;
    this.#session = session;
    this.#fetches = fetches;
  }

  /** @throws MaasError MAAS_MODEL_INVALID when the runtime refuses the model, MAAS_RUNTIME when the thread dies. */
  static async open(
    entry: URL | undefined,
    { model, session: options, fetches }: WorkerSetup,
    onLost: (reason: string) => void,
  ): Promise<Member> {
    let up = false;
    const thread = new SessionThread({
      ...(entry && { entry }),
      onLost: (reason) => {
        if (up) onLost(reason);
      },
    });
    try {
      const session = await thread.open(model, options);
      up = true;
      return new Member(thread, session, fetches ?? tensorsOf(session.slots));
    } catch (error) {
      await thread.close();
      if (!(error instanceof ThreadLost)) throw error;
      throw new MaasError('MAAS_RUNTIME', `the model's worker thread does not start: ${error.message}`);
    }
  }

  get slots(): Slots {
    return this.#session.slots;
  }

  /** `owned` arrays are the callee's to give away. @throws WorkerLost when the thread dies meanwhile. */
  async run(feeds: Feeds, owned: boolean): Promise<Outputs> {
    try {
      return await this.#session.run(feeds, { fetches: this.#fetches, owned });
    } catch (error) {
      if (!(error instanceof ThreadLost)) throw error;
      throw new WorkerLost(this.#abandoned ?? `the model's worker died: ${error.message}`);
    }
  }

  /** Gives up on a run that does not end. */
  abandon(reason: string): void {
    this.#abandoned = reason;
    this.#thread.abandon(reason);
  }

  /** Ends the thread once it is done with what it does. */
  close(): Promise<void> {
    return this.#thread.close();
  }
}
