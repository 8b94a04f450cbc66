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

  /** Ends it where nobody took it. */
  async close(): Promise<void> {
    await this.take()?.close();
  }
}
