import type { ModelStatus } from '../../plugin/api.js';
import type { LoadedModel } from './loaded-model.js';

export interface EntryOptions {
  readonly warn: (text: string) => void;
  /** Loads it, and again after it was let go. Without it, what is closed stays closed. */
  readonly open?: () => Promise<LoadedModel>;
  /** Why it is not there to begin with. */
  readonly reason?: string;
}

/** One version of a model: open or not, and how many requests are at it. */
export class ModelEntry {
  readonly name: string;
  readonly version: string;
  readonly #options: EntryOptions;
  #model: LoadedModel | undefined;
  #opening: Promise<LoadedModel | undefined> | undefined;
  #closing: Promise<void> | undefined;
  #pins = 0;
  #retired = false;
  #onIdle: (() => void) | undefined;
  #reason: string;
  #used = 0;

  constructor({ name, version }: { name: string; version: string }, options: EntryOptions) {
    this.name = name;
    this.version = version;
    this.#options = options;
    this.#reason = options.reason ?? 'not asked for yet';
  }

  get model(): LoadedModel | undefined {
    return this.#model;
  }

  get state(): ModelStatus['state'] {
    if (this.#opening) return 'LOADING';
    if (this.#model) return this.#model.ready ? 'READY' : 'UNAVAILABLE';
    return this.#closing ? 'UNLOADING' : 'UNAVAILABLE';
  }

  /** Why it is not ready. */
  get reason(): string {
    return this.#model ? '' : this.#reason;
  }

  /** Counts up with each use of any model. */
  get used(): number {
    return this.#used;
  }

  /** True for what is open, of no use to anybody at this moment, and can be loaded again. */
  get mayGo(): boolean {
    return this.#model !== undefined && this.#pins === 0 && this.#options.open !== undefined;
  }

  take(model: LoadedModel): void {
    this.#model = model;
  }

  /** Loads it; everybody who asks meanwhile waits for the same. Undefined when it went away. @throws what opening it throws */
  load(): Promise<LoadedModel | undefined> {
    if (this.#model) return Promise.resolve(this.#model);
    const { open } = this.#options;
    if (!open || this.#retired) return Promise.resolve(undefined);
    this.#opening ??= this.#load(open).finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  async #load(open: () => Promise<LoadedModel>): Promise<LoadedModel | undefined> {
    await this.#closing;
    try {
      const model = await open();
      if (this.#retired) {
        await model.close();
        return undefined;
      }
      this.#reason = '';
      return (this.#model = model);
    } catch (error) {
      this.#reason = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  pin(use: number): void {
    this.#pins++;
    this.#used = use;
  }

  unpin(): void {
    if (--this.#pins === 0) this.#onIdle?.();
  }

  /** Gives the memory back for now. Call it only when it may go. */
  evict(reason: string): Promise<void> {
    this.#reason = reason;
    return this.#close();
  }

  /** Closes it for good once no request is at it. */
  async retire(): Promise<void> {
    this.#retired = true;
    await this.#opening?.catch(() => undefined);
    if (this.#pins > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    await this.#close();
  }

  /** Closes it for good as soon as its run under way has ended. */
  async close(): Promise<void> {
    this.#retired = true;
    await this.#opening?.catch(() => undefined);
    await this.#close();
  }

  #close(): Promise<void> {
    const model = this.#model;
    this.#model = undefined;
    if (!model) return this.#closing ?? Promise.resolve();
    this.#closing = model
      .close()
      .catch((error: unknown) => {
        const which = `${this.name} version ${this.version.slice(0, 12)}`;
        this.#options.warn(`${which} did not close cleanly: ${String(error)}`);
      })
      .finally(() => (this.#closing = undefined));
    return this.#closing;
  }
}
