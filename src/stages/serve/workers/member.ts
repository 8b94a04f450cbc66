import { Worker } from 'node:worker_threads';
import { MaasError } from '../../../errors.js';
import type { Feeds } from '../../../runtime/session.js';
import type { Outputs } from '../batcher.js';
import { WorkerLost } from '../request-error.js';
import { packArrays, type Order, type Report, type WorkerSetup } from './messages.js';

interface Waiter {
  readonly resolve: (outputs: Outputs) => void;
  readonly reject: (error: Error) => void;
}

/** One worker thread with the model open in it. Takes one run at a time. */
export class Member {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #waiter: Waiter | undefined;
  #ended = false;

  private constructor(worker: Worker) {
    this.#worker = worker;
    this.#exited = new Promise((resolve) => {
      worker.once('exit', () => {
        resolve();
      });
    });
  }

  /** @throws MaasError MAAS_MODEL_INVALID when the runtime refuses the model, MAAS_RUNTIME when the thread dies. */
  static async open(entry: URL, setup: WorkerSetup, onLost: (reason: string) => void): Promise<Member> {
    const worker = new Worker(entry, { workerData: setup, execArgv: [] });
    const member = new Member(worker);
    await new Promise<void>((resolve, reject) => {
      worker.once('message', (report: Report) => {
        if ('refused' in report) reject(new MaasError('MAAS_MODEL_INVALID', report.refused));
        else resolve();
      });
      const die = (reason: string): void => {
        reject(new MaasError('MAAS_RUNTIME', `the model's worker thread does not start: ${reason}`));
      };
      worker.once('error', (error) => {
        die(error.message);
      });
      worker.once('exit', (code) => {
        die(`it ended with ${code}`);
      });
    });
    worker.removeAllListeners('error');
    worker.on('message', (report: Report) => {
      member.#settle(report);
    });
    const lose = (reason: string): void => {
      if (member.#ended) return;
      member.#ended = true;
      member.#waiter?.reject(new WorkerLost(`the model's worker died: ${reason}`));
      member.#waiter = undefined;
      onLost(reason);
    };
    worker.on('error', (error) => {
      lose(error.message);
    });
    worker.once('exit', (code) => {
      lose(`its thread ended with ${code}`);
    });
    return member;
  }

  /** `owned` arrays are the callee's to give away. @throws WorkerLost when the thread dies meanwhile. */
  run(feeds: Feeds, owned: boolean): Promise<Outputs> {
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      const { packed, transfer } = packArrays(feeds, owned);
      this.#post({ run: packed }, transfer);
    });
  }

  /** Gives up on a run that does not end: the thread may not be ended inside it, and ends itself should it ever come out. */
  abandon(reason: string): void {
    this.#ended = true;
    this.#waiter?.reject(new WorkerLost(reason));
    this.#waiter = undefined;
    this.#post({ close: true });
    this.#worker.unref();
  }

  /** Ends the thread once it is done with what it does. */
  async close(): Promise<void> {
    this.#ended = true;
    this.#post({ close: true });
    await this.#exited;
  }

  #post(order: Order, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(order, transfer);
  }

  #settle(report: Report): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if ('outputs' in report) waiter?.resolve(report.outputs);
    else if ('failed' in report) waiter?.reject(new Error(report.failed));
  }
}
