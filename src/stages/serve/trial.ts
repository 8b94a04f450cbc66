import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type CanaryOrder, readCanary } from '../../artifacts/canary-file.js';
import type { LoadedModel } from './loaded-model.js';
import type { ModelEntry } from './model-entry.js';
import type { ModelHost } from './model-host.js';

export interface TrialOptions {
  /** Link to the current release; orders lie beside it. */
  readonly link: string;
  readonly host: Pick<ModelHost, 'enrol' | 'serve'>;
  /** Loads the release in this folder, under another name than its own where one is given. */
  readonly open: (folder: string, name?: string) => Promise<LoadedModel>;
  readonly onRefused: (folder: string, error: unknown) => void;
  /** Milliseconds between looks for an order. Default 500. */
  readonly pollInterval?: number;
}

/** What of an order says how requests are led. */
type Lead = Pick<CanaryOrder, 'percent' | 'shadow' | 'sticky'>;

/**
 * The current release of a folder and, while `canary.json` there orders it, a candidate that gets part of its requests. A candidate
 * that becomes the current release is not loaded again.
 */
export class Trial {
  readonly #options: TrialOptions;
  #current: ModelEntry | undefined;
  #candidate: { readonly entry: ModelEntry; readonly lead: Lead } | undefined;
  /** The order as it was last seen; undefined makes the next look count whatever it sees. */
  #seen: string | undefined = '';
  #work: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: TrialOptions) {
    this.#options = options;
  }

  /** Serves the release in this folder from now on. @throws what opening it throws; what is served then stays. */
  go(folder: string): Promise<void> {
    return this.#inTurn(async () => {
      const candidate = this.#candidate?.entry;
      const digest = basename(await realpath(folder).catch(() => folder));
      if (candidate?.version === digest) {
        this.#candidate = undefined;
        this.#current = candidate;
      } else this.#current = this.#enrol(await this.#options.open(folder));
      this.#seen = undefined;
      this.#serve();
    });
  }

  /** Looks for orders from now on. */
  watch(): void {
    const { pollInterval = 500 } = this.#options;
    this.#timer = setInterval(
      () => void this.#inTurn(() => this.#look()).catch(() => undefined),
      pollInterval,
    );
  }

  /** Looks no more; resolves when a load under way has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#work.catch(() => undefined);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#work.catch(() => undefined).then(work);
    this.#work = turn;
    return turn;
  }

  async #look(): Promise<void> {
    const home = dirname(this.#options.link);
    const order = await readCanary(home).catch(() => undefined);
    const current = this.#current;
    if (current === undefined) return;
    const holds =
      order !== undefined && Date.parse(order.until) > Date.now() && order.release !== current.version;
    const { percent, shadow, sticky } = order ?? {};
    const seen = holds ? JSON.stringify([order.release, percent, shadow, sticky]) : '';
    if (seen === this.#seen) return;
    this.#seen = seen;
    const before = this.#candidate?.entry;
    this.#candidate = undefined;
    if (holds) {
      const folder = join(home, 'releases', order.release);
      try {
        const entry =
          before?.version === order.release
            ? before
            : this.#enrol(await this.#options.open(folder, current.name));
        this.#candidate = { entry, lead: order };
      } catch (error) {
        this.#options.onRefused(folder, error);
      }
    }
    this.#serve();
  }

  #enrol(model: LoadedModel): ModelEntry {
    const entry = this.#options.host.enrol(model);
    entry.take(model);
    return entry;
  }

  #serve(): void {
    const [latest, trial] = [this.#current!, this.#candidate];
    const versions = new Map(
      [latest, ...(trial ? [trial.entry] : [])].map((entry) => [entry.version, entry]),
    );
    const family = { versions, aliases: new Map<string, string>(), latest };
    const guest = trial && {
      trial: trial.entry,
      traffic: share(latest.version, trial.entry.version, trial.lead),
    };
    this.#options.host.serve(new Map([[latest.name, { ...family, ...guest }]]));
  }
}

function share(current: string, candidate: string, { percent, shadow, sticky }: Lead) {
  return {
    split: { [current]: 100 - percent, [candidate]: percent },
    ...(shadow && { shadow: candidate }),
    ...(sticky !== undefined && { sticky }),
  };
}
