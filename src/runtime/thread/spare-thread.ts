import type { SessionOptions } from '../session.js';
import { SessionThread } from './session-thread.js';

/** A thread that starts before it is known what it will do. */
export class SpareThread {
  #thread: SessionThread | undefined = new SessionThread();

  /** Whoever takes it closes it. Undefined once somebody has. */
  take(): SessionThread | undefined {
    const thread = this.#thread;
    this.#thread = undefined;
    return thread;
  }

  /** As `SessionThread.openAhead`, unless somebody has taken the thread. */
  async openAhead(model: string, options: SessionOptions): Promise<void> {
    await this.#thread?.openAhead(model, options);
  }

  /** Ends it where nobody took it. */
  async close(): Promise<void> {
    await this.take()?.close();
  }
}
