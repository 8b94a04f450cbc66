import type { ProgressEvent } from '../../../plugin/events.js';

type Serving = Extract<ProgressEvent, { event: 'serving' }>;

interface Told {
  readonly event: ProgressEvent;
  /** How often each process told it. */
  readonly counts: number[];
  /** How often it was told on. */
  told: number;
}

/** Remarks that are told apart, at most. */
const mostKept = 1000;

/**
 * What several processes that do the same tell, as if one did: a remark as often as the one that makes it most often, that a model
 * is served once all serve it, and each request.
 */
export class Chorus {
  readonly #processes: number;
  readonly #emit: (event: ProgressEvent) => void;
  readonly #remarks = new Map<string, Told>();
  readonly #served = new Map<string, Told>();
  /** They begin in the place of others, and tell what was told. */
  readonly #beginning = new Set<number>();
  /** What is told once all have begun. */
  #held: Serving[] | undefined = [];
  #last: Serving | undefined;

  constructor(processes: number, emit: (event: ProgressEvent) => void) {
    this.#processes = processes;
    this.#emit = emit;
  }

  /** What all went over to last. */
  get last(): Serving | undefined {
    return this.#last;
  }

  /** @param index Of the process, from 0. */
  hear(index: number, event: ProgressEvent): void {
    if (event.event === 'serving') {
      if (this.#beginning.has(index)) return;
      const told = this.#find(this.#served, JSON.stringify([event.model, event.digest]), event);
      told.counts[index]!++;
      this.#tellServed(told);
    } else if (event.event === 'note' || event.event === 'warning') {
      const told = this.#find(this.#remarks, event.text, event);
      if (++told.counts[index]! <= told.told) return;
      told.told++;
      this.#emit(event);
    } else this.#emit(event);
  }

  /** All have begun: tells what they serve. */
  begin(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const event of held) this.#emit(event);
  }

  /** Another process begins in its place. */
  replace(index: number): void {
    this.#beginning.add(index);
    for (const { counts } of this.#remarks.values()) counts[index] = 0;
  }

  /** It has begun, and serves what the others do. */
  replaced(index: number): void {
    this.#beginning.delete(index);
    for (const told of this.#served.values()) {
      told.counts[index] = Math.min(...told.counts.filter((_, other) => other !== index));
      this.#tellServed(told);
    }
  }

  #find(all: Map<string, Told>, key: string, event: ProgressEvent): Told {
    const known = all.get(key);
    if (known) return known;
    const told = { event, counts: new Array<number>(this.#processes).fill(0), told: 0 };
    all.set(key, told);
    const [oldest] = all.keys();
    if (all.size > mostKept) all.delete(oldest!);
    return told;
  }

  #tellServed(told: Told): void {
    const times = Math.min(...told.counts);
    if (times <= told.told) return;
    told.told = times;
    const event = told.event as Serving;
    this.#last = event;
    if (this.#held) this.#held.push(event);
    else this.#emit(event);
  }
}
