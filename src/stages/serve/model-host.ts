import type { HttpRequest, ModelStatus, Repository, ServedModel, ServeHost } from '../../plugin/api.js';
import type { LoadedModel } from './loaded-model.js';
import { ModelEntry, type EntryOptions } from './model-entry.js';
import { busy } from './request-error.js';
import { chooseVersion, withShadow, type ShadowReport, type Traffic } from './traffic.js';

/** One request's view of the host: a model that it asked for stays the same, and open, from then to its end. */
export interface Lease {
  readonly host: ServeHost;
  /** The model that the request was last given. */
  readonly given: Pick<ServedModel, 'name' | 'version'> | undefined;
  /** Ends the view; a model that was replaced meanwhile is closed when its last view ends. */
  end(): void;
}

/** The versions of one model, and which of them is meant when none is named. */
export interface Family {
  readonly versions: ReadonlyMap<string, ModelEntry>;
  /** Other names of versions. */
  readonly aliases: ReadonlyMap<string, string>;
  readonly latest: ModelEntry | undefined;
  /** How requests that name no version are led, instead of what the options say. */
  readonly traffic?: Traffic;
  /** A version that is tried: whether it is well says nothing of the server. */
  readonly trial?: ModelEntry;
}

export interface HostOptions {
  readonly warn: (text: string) => void;
  readonly repository?: Repository;
  /** Memory that models may take together, in bytes. Default: no limit. */
  readonly memoryBudget?: number;
  /** Of other processes that serve the same. */
  readonly othersReady?: () => boolean;
  /** By model. */
  readonly traffic?: Readonly<Record<string, Traffic>>;
  readonly onShadow?: (report: ShadowReport) => void;
}

/** A session takes its weights twice: onnxruntime packs them anew. */
const memoryPerByte = 2;

/** Holds the models that are served, and changes them without a request ever seeing neither or half of both. */
export class ModelHost {
  readonly #options: HostOptions;
  #families: ReadonlyMap<string, Family> = new Map();
  /** What is gone from the families and still has requests under way, too. */
  readonly #entries = new Set<ModelEntry>();
  #stopping = false;
  #complete = false;
  #uses = 0;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** The model that is meant when none is named. */
  get current(): LoadedModel | undefined {
    return this.models()[0];
  }

  /** Ready once all that should be served was tried, while what is loaded can run. */
  get ready(): boolean {
    return this.well && (this.#options.othersReady?.() ?? true);
  }

  /** Ready as far as this process goes. */
  get well(): boolean {
    return this.#complete && !this.#stopping && this.#relied().every(({ ready }) => ready);
  }

  get live(): boolean {
    return this.#relied().every(({ live }) => live);
  }

  /** Those that the server must have to be of use. */
  #relied(): LoadedModel[] {
    const tried = new Set([...this.#families.values()].map(({ trial }) => trial?.model));
    return this.models().filter((model) => !tried.has(model));
  }

  models(): LoadedModel[] {
    const loaded: LoadedModel[] = [];
    for (const { latest, versions } of this.#families.values()) {
      if (latest?.model) loaded.push(latest.model);
      for (const entry of versions.values()) if (entry !== latest && entry.model) loaded.push(entry.model);
    }
    return loaded;
  }

  index(): ModelStatus[] {
    const all: ModelStatus[] = [];
    for (const { versions } of this.#families.values()) {
      for (const { name, version, state, reason } of versions.values()) {
        all.push({ name, version, state, reason });
      }
    }
    return all;
  }

  /** @param headers By which a request may be led to one of several versions. */
  lease(headers: HttpRequest['headers'] = {}): Lease {
    return new HostView(this, headers);
  }

  /** Serves this model alone from now on; requests under way end with the one that they began with. */
  replace(next: LoadedModel): void {
    const entry = this.enrol(next);
    entry.take(next);
    const versions = new Map([[next.version, entry]]);
    this.serve(new Map([[next.name, { versions, aliases: new Map(), latest: entry }]]));
  }

  /** Counts a version among those that take memory, from before it is served. */
  enrol(identity: { name: string; version: string }, options: Omit<EntryOptions, 'warn'> = {}): ModelEntry {
    const entry = new ModelEntry(identity, { ...options, warn: this.#options.warn });
    this.#entries.add(entry);
    return entry;
  }

  /** Serves these from now on. What is not among them is closed when its last request has ended. */
  serve(families: ReadonlyMap<string, Family>): void {
    const kept = new Set([...families.values()].flatMap(({ versions }) => [...versions.values()]));
    this.#families = families;
    this.#complete = true;
    for (const entry of this.#entries) {
      if (!kept.has(entry)) void entry.retire().finally(() => this.#entries.delete(entry));
    }
  }

  /** Not ready from now on; still answers, so that nobody who is under way loses anything. */
  beginStop(): void {
    this.#stopping = true;
  }

  /** Closes every model as soon as its run under way has ended, whoever still holds a lease. */
  async close(): Promise<void> {
    this.#families = new Map();
    await Promise.all([...this.#entries].map((entry) => entry.close()));
  }

  /**
   * Makes room for a model of `size` bytes by closing those that were used longest ago and can be loaded again.
   * @throws RequestError 503 when what is in use takes all the memory.
   */
  async makeRoom(size: number): Promise<void> {
    const { memoryBudget = Infinity } = this.#options;
    const taken = (): number =>
      [...this.#entries].reduce(
        (sum, { model }) => sum + memoryPerByte * (model?.size ?? 0),
        memoryPerByte * size,
      );
    const idle = [...this.#entries].filter((entry) => entry.mayGo).sort((a, b) => a.used - b.used);
    for (const entry of idle) {
      if (taken() <= memoryBudget) return;
      await entry.evict('evicted: other models needed its memory; the next request loads it again');
    }
    if (taken() > memoryBudget) throw busy(`the models in use take all of the memory budget`);
  }

  #find(name: string | undefined, version: string | undefined): ModelEntry | undefined {
    const family = name === undefined ? [...this.#families.values()][0] : this.#families.get(name);
    if (version === undefined || version === 'latest') return family?.latest;
    return family && this.#resolve(family, name ?? family.latest?.name, version);
  }

  #resolve({ versions, aliases }: Family, name: string | undefined, version: string): ModelEntry | undefined {
    const alias = this.#trafficOf(name)?.aliases?.[version] ?? aliases.get(version);
    return versions.get(version) ?? versions.get(alias ?? '');
  }

  #trafficOf(name: string | undefined): Traffic | undefined {
    const { traffic = {} } = this.#options;
    const own = name === undefined ? undefined : this.#families.get(name)?.traffic;
    if (own) return own;
    return name !== undefined && Object.hasOwn(traffic, name) ? traffic[name] : undefined;
  }

  /** Of a request that names no version: by the shares of the versions, else the latest. */
  #route(name: string | undefined, headers: HttpRequest['headers']): ModelEntry | undefined {
    const latest = this.#find(name, undefined);
    const traffic = this.#trafficOf(name ?? latest?.name);
    const chosen = traffic && chooseVersion(traffic, headers);
    return (chosen === undefined ? undefined : this.#find(name ?? latest?.name, chosen)) ?? latest;
  }

  /** The model as callers see it: with its shadow, where it has one. */
  #attend(model: LoadedModel): ServedModel {
    const version = this.#trafficOf(model.name)?.shadow;
    const entry = version === undefined ? undefined : this.#find(model.name, version);
    if (!entry || entry.version === model.version) return model;
    if (!entry.model) {
      // It takes part from when it is there; nobody waits for it.
      entry.load().catch(() => undefined);
      return model;
    }
    const shadow = entry.model;
    const attended: LoadedModel = Object.create(shadow, {
      predict: {
        value: async (...asked: Parameters<ServedModel['predict']>) => {
          entry.pin(++this.#uses);
          try {
            return await shadow.predict(...asked);
          } finally {
            entry.unpin();
          }
        },
      },
    }) as LoadedModel;
    return withShadow(model, attended, this.#options.onShadow ?? (() => undefined));
  }

  /** What a request asks for by name: the latest version, or the one that its traffic's shares lead it to. */
  choose(
    name: string | undefined,
    version: string | undefined,
    headers: HttpRequest['headers'],
  ): ModelEntry | undefined {
    return version === undefined ? this.#route(name, headers) : this.#find(name, version);
  }

  /** Counts a use of it. The model, as a request sees it. */
  use(entry: ModelEntry): ServedModel {
    entry.pin(++this.#uses);
    return this.#attend(entry.model!);
  }

  /** Keeps it from making room for others. @returns Ends that. */
  hold(entry: ModelEntry): () => void {
    entry.pin(++this.#uses);
    return () => {
      entry.unpin();
    };
  }

  get repository(): Repository | undefined {
    return this.#options.repository;
  }

  get projectName(): string {
    return this.current?.projectName ?? 'maas';
  }
}

/** Made for each request. */
class HostView implements Lease, ServeHost {
  readonly #models: ModelHost;
  readonly #headers: HttpRequest['headers'];
  readonly #pinned: ModelEntry[] = [];
  #open = true;

  constructor(models: ModelHost, headers: HttpRequest['headers']) {
    this.#models = models;
    this.#headers = headers;
  }

  get host(): ServeHost {
    return this;
  }

  get given(): LoadedModel | undefined {
    return this.#pinned.at(-1)?.model;
  }

  get projectName(): string {
    return this.#models.projectName;
  }

  get ready(): boolean {
    return this.#models.ready;
  }

  get live(): boolean {
    return this.#models.live;
  }

  get repository(): Repository | undefined {
    return this.#models.repository;
  }

  models(): readonly ServedModel[] {
    return this.#models.models();
  }

  index(): readonly ModelStatus[] {
    return this.#models.index();
  }

  model(
    name: string | undefined,
    version?: string,
  ): ServedModel | Promise<ServedModel | undefined> | undefined {
    const entry = this.#models.choose(name, version, this.#headers);
    if (!entry) return undefined;
    if (entry.model) return this.#use(entry);
    // Held from now on: what is loaded for a request must not make room for another before the request has it.
    const release = this.#models.hold(entry);
    return entry
      .load()
      .then((model) => model && this.#use(entry))
      .finally(release);
  }

  end(): void {
    this.#open = false;
    for (const entry of this.#pinned.splice(0)) entry.unpin();
  }

  #use(entry: ModelEntry): ServedModel {
    const model = this.#models.use(entry);
    // A request that went away while its model was loading holds nothing.
    if (this.#open) this.#pinned.push(entry);
    else entry.unpin();
    return model;
  }
}
