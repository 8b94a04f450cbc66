import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { freemem } from 'node:os';
import { dirname } from 'node:path';
import type { Feeds } from '../../runtime/session.js';
import { findPrepared, type Found, placeOf, trialOf } from '../../runtime/prepared/place.js';
import { readMemoryLimit } from './placement.js';

/** How many times a model's size its preparation may take of memory: the model, its session, and the session on trial. */
const memoryFactor = 5;

/** And of the disk: the weights, and the packed weights, and both once more while they are put in their places. */
const diskFactor = 5;

/** Milliseconds after the model is ready: who starts it has requests waiting. */
const pause = 1000;

export interface PreparationWork {
  /** Of the model, in bytes. */
  readonly size: number;
  /** Both models must give the same for these. */
  readonly requests: readonly Feeds[];
  readonly told: ((error?: Error) => void) | undefined;
}

/** What was prepared of a model, or is, for the next time that it is opened. */
export class Preparation {
  readonly #place: string;
  readonly #model: string;
  readonly #ending = new AbortController();
  #work: Promise<void> | undefined;

  private constructor(
    place: string,
    model: string,
    private readonly found: Found,
  ) {
    this.#place = place;
    this.#model = model;
  }

  /** @param cache Folder for what can be made again. @param model The model's file. */
  static async open(cache: string, model: string): Promise<Preparation> {
    const place = await placeOf(cache, model);
    const found = await findPrepared(place, model);
    // Should this process die of it, the next one does without.
    if (found.path !== undefined) await writeFile(trialOf(place), '').catch(() => undefined);
    return new Preparation(place, model, found);
  }

  /** Of the prepared model, where there is one. */
  get path(): string | undefined {
    return this.found.path;
  }

  /** Call it when the model is open and has run. */
  goOn(work: PreparationWork): Promise<void> {
    if (this.path !== undefined) this.#work = this.survived();
    else if (!this.found.refused) this.#work = this.#prepare(work);
    return Promise.resolve(this.#work);
  }

  /** Call it when what was prepared is open, or refused: this process has not died of it. */
  async survived(): Promise<void> {
    await rm(trialOf(this.#place), { force: true });
  }

  /** Gives up on what is under way. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#work;
  }

  async #prepare({ size, requests, told }: PreparationWork): Promise<void> {
    const { signal } = this.#ending;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pause);
      timer.unref();
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    if (signal.aborted || memoryFactor * size > Math.min(freemem(), readMemoryLimit() / 2)) return;
    if (diskFactor * size > (await freeDisk(this.#place))) return;
    try {
      const { prepare } = await import('../../runtime/prepared/prepare.js');
      await prepare({ path: this.#model, place: this.#place, requests }, signal);
      told?.();
    } catch (error) {
      if (!signal.aborted) told?.(error as Error);
    }
  }
}

/** Bytes that a file at this path may take; 0 where there can be none. */
async function freeDisk(path: string): Promise<number> {
  try {
    await mkdir(dirname(path), { recursive: true });
    const { bavail, bsize } = await statfs(dirname(path));
    return bavail * bsize;
  } catch {
    return 0;
  }
}
