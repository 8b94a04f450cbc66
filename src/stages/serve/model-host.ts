import type { ServeHost } from '../../plugin/api.js';
import type { LoadedModel } from './loaded-model.js';

/** One request's view of the host: the same models from its first look to its last. */
export interface Lease {
  readonly host: ServeHost;
  /** Ends the view; a model that was replaced meanwhile is closed when its last view ends. */
  end(): void;
}

interface Slot {
  readonly model: LoadedModel;
  leases: number;
  retired: boolean;
  closing?: Promise<void>;
}

/** Holds the model that is served and switches to the next one without a request ever seeing neither or half of both. */
export class ModelHost {
  #current: Slot | undefined;
  #stopping = false;
  /** The current model and those that were replaced and still have requests under way. */
  readonly #slots = new Set<Slot>();
  readonly #warn: (text: string) => void;

  constructor(warn: (text: string) => void) {
    this.#warn = warn;
  }

  get current(): LoadedModel | undefined {
    return this.#current?.model;
  }

  get ready(): boolean {
    return this.#current !== undefined && this.#current.model.ready && !this.#stopping;
  }

  get live(): boolean {
    return this.#current?.model.live ?? true;
  }

  lease(): Lease {
    const slot = this.#current;
    if (slot) slot.leases++;
    let open = true;
    return {
      host: this.#view(slot?.model),
      end: () => {
        if (!open || !slot) return;
        open = false;
        slot.leases--;
        if (slot.retired && slot.leases === 0) void this.#close(slot);
      },
    };
  }

  /** Requests from now on get `next`; those under way end with the model that they began with. */
  replace(next: LoadedModel): void {
    const previous = this.#current;
    this.#current = { model: next, leases: 0, retired: false };
    this.#slots.add(this.#current);
    if (!previous) return;
    previous.retired = true;
    if (previous.leases === 0) void this.#close(previous);
  }

  /** Not ready from now on; still answers, so that nobody who is under way loses anything. */
  beginStop(): void {
    this.#stopping = true;
  }

  /** Closes every model as soon as its run under way has ended, whoever still holds a lease. */
  async close(): Promise<void> {
    this.#current = undefined;
    await Promise.all([...this.#slots].map((slot) => this.#close(slot)));
  }

  #close(slot: Slot): Promise<void> {
    slot.closing ??= slot.model
      .close()
      .catch((error: unknown) => {
        this.#warn(`release ${slot.model.version.slice(0, 12)} did not close cleanly: ${String(error)}`);
      })
      .finally(() => this.#slots.delete(slot));
    return slot.closing;
  }

  #view(model: LoadedModel | undefined): ServeHost {
    const isReady = (): boolean => this.ready;
    const isLive = (): boolean => this.live;
    return {
      projectName: model?.projectName ?? 'maas',
      get ready() {
        return isReady();
      },
      get live() {
        return isLive();
      },
      models: () => (model ? [model] : []),
      model: (name, version) =>
        model?.name === name && (version === undefined || version === model.version) ? model : undefined,
    };
  }
}
