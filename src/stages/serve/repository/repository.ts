import { existsSync } from 'node:fs';
import { MaasError } from '../../../errors.js';
import type { Repository } from '../../../plugin/api.js';
import type { LoadedModel } from '../loaded-model.js';
import type { ModelEntry } from '../model-entry.js';
import type { Family, ModelHost } from '../model-host.js';
import { unloaded } from '../find-model.js';
import { RequestError } from '../request-error.js';
import { scanModels, type Found, type FoundModel } from './scan.js';

export interface RepositoryOptions {
  readonly folder: string;
  readonly open: (found: Found, name: string, version: string) => Promise<LoadedModel>;
  /** Told what is served from now on, each time that something changed. */
  readonly host: Pick<ModelHost, 'enrol' | 'serve'>;
  readonly warn: (text: string) => void;
  /** Models that are not to be loaded until somebody asks for it. */
  readonly unloaded?: readonly string[];
  /** Milliseconds between looks at the folder. Default 1000. */
  readonly pollInterval?: number;
}

interface Known {
  readonly identity: string;
  readonly entry: ModelEntry;
}

/**
 * Keeps what is served in step with a folder of models. The latest version of each model is loaded and warmed up before
 * it is switched to, and one that does not load leaves the version before it in place; others are loaded when asked for.
 */
export class FolderRepository implements Repository {
  readonly #options: RepositoryOptions;
  #known = new Map<string, Known>();
  #latest = new Map<string, string>();
  /** Refused, by identity, so that each is tried and told of once. */
  readonly #refused = new Map<string, string>();
  readonly #unloaded: Set<string>;
  #last = '';
  #work: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  private constructor(options: RepositoryOptions) {
    this.#options = options;
    this.#unloaded = new Set(options.unloaded);
  }

  /** @throws MaasError MAAS_USAGE when there is no such folder. */
  static async open(options: RepositoryOptions): Promise<FolderRepository> {
    const repository = new FolderRepository(options);
    await repository.#update();
    repository.#watch();
    return repository;
  }

  async load(name: string): Promise<void> {
    this.#unloaded.delete(name);
    for (const identity of this.#identitiesOf(name)) this.#refused.delete(identity);
    this.#last = '';
    await this.#update();
    const version = this.#latest.get(name);
    if (version === undefined) throw new RequestError(404, `the repository has no model ${name} that loads`);
    await this.#known.get(key(name, version))?.entry.load();
  }

  async unload(name: string): Promise<void> {
    if (this.#identitiesOf(name).length === 0) throw new RequestError(404, `there is no model ${name}`);
    this.#unloaded.add(name);
    this.#last = '';
    await this.#update();
  }

  /** Looks no more; resolves when a load under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#work.catch(() => undefined);
  }

  #watch(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      void this.#update()
        .catch((error: unknown) => {
          this.#options.warn(`the models' folder cannot be read: ${(error as Error).message}`);
        })
        .finally(() => {
          this.#watch();
        });
    }, this.#options.pollInterval ?? 1000);
  }

  /** One after another: a look that began earlier must not undo a later one. */
  #update(): Promise<void> {
    const work = this.#work.catch(() => undefined).then(() => this.#lookOnce());
    this.#work = work;
    return work;
  }

  async #lookOnce(): Promise<void> {
    if (this.#stopped) return;
    const found = await scanModels(this.#options.folder).catch((error: unknown) => {
      throw new MaasError('MAAS_USAGE', `the folder of models cannot be read: ${(error as Error).message}`, {
        place: { file: this.#options.folder },
        hint: 'Name a folder with MODEL/VERSION/model.onnx in it.',
        cause: error,
      });
    });
    const seen = JSON.stringify(
      [...found].map(([name, model]) => [name, ...model.versions, ...model.aliases]),
    );
    if (seen === this.#last) return;
    const known = new Map<string, Known>();
    const families = new Map<string, Family>();
    for (const [name, model] of found) families.set(name, await this.#bringUp(name, model, known));
    this.#known = known;
    this.#last = seen;
    if (!this.#stopped) this.#options.host.serve(families);
  }

  async #bringUp(
    name: string,
    { versions, aliases }: FoundModel,
    known: Map<string, Known>,
  ): Promise<Family> {
    const entries = new Map<string, ModelEntry>();
    let latest: ModelEntry | undefined;
    // Newest first: the first that loads is the one that is meant without a version.
    for (const [version, found] of [...versions].reverse()) {
      const at = key(name, version);
      const before = this.#known.get(at);
      if (this.#unloaded.has(name)) {
        const gone = this.#options.host.enrol({ name, version }, { reason: unloaded });
        known.set(at, { identity: '', entry: gone });
        entries.set(version, gone);
        continue;
      }
      const same = before?.identity === found.identity;
      const entry = same ? before.entry : this.#makeEntry(found, name, version);
      // What is in use now is ready in its new form before it is switched to.
      const wanted = latest === undefined || (before?.entry.model !== undefined && !same);
      const loads =
        !wanted || (same && this.#latest.get(name) === version) || (await this.#try(entry, found));
      const kept = !loads && !same && before?.entry.model ? before : { identity: found.identity, entry };
      known.set(at, kept);
      entries.set(version, kept.entry);
      if (latest === undefined && (loads || kept === before)) latest = kept.entry;
    }
    if (latest) this.#latest.set(name, latest.version);
    else this.#latest.delete(name);
    return { versions: new Map([...entries].reverse()), aliases, latest };
  }

  #makeEntry(found: Found, name: string, version: string): ModelEntry {
    const { open, host } = this.#options;
    return host.enrol({ name, version }, { open: () => open(found, name, version) });
  }

  async #try(entry: ModelEntry, { identity, path }: Found): Promise<boolean> {
    if (this.#refused.has(identity)) return false;
    try {
      await entry.load();
      return true;
    } catch (error) {
      // Taken away while it was to be loaded: the next look sees that it is gone.
      if (!existsSync(path)) return false;
      const reason = error instanceof Error ? error.message : String(error);
      this.#refused.set(identity, reason);
      this.#options.warn(`${entry.name} version ${entry.version} is refused: ${reason}`);
      return false;
    }
  }

  #identitiesOf(name: string): string[] {
    return [...this.#known].filter(([at]) => at.startsWith(`${name}/`)).map(([, { identity }]) => identity);
  }
}

/** No part of it holds a slash: both are names of folders. */
function key(name: string, version: string): string {
  return `${name}/${version}`;
}
