import type { NdArray } from '../../ir/tensor.js';
import { joinRows, takeRows } from '../rows.js';
import type { Feeds, Session } from '../session.js';

/** Rows of one run that are tried, beside all of a request's. */
const sizes = [64, 16] as const;

/** Requests that each way is measured with before one is chosen, and the most runs that one of them may take for it. */
const [measured, mostRuns] = [5, 32];

/** How many times faster slices must be. */
const fasterBy = 1.05;

interface Way {
  /** Rows in a run. */
  readonly size: number;
  /** Milliseconds that a row took. */
  readonly times: number[];
}

/**
 * Runs requests of many rows that do not depend on each other: whole, or a slice of their rows after another, whichever is
 * faster. What many rows come to inside of a convolutional network does not fit into a processor's caches; of other models
 * it does, and each run takes its time to begin. This is measured on the requests themselves.
 */
export class SlicedRuns {
  readonly #session: Pick<Session, 'run'>;
  readonly #now: () => number;
  #ways: readonly Way[] = [Infinity, ...sizes].map((size) => ({ size, times: [] }));

  constructor(session: Pick<Session, 'run'>, now: () => number = () => performance.now()) {
    this.#session = session;
    this.#now = now;
  }

  async run(feeds: Feeds, fetches?: readonly string[]): Promise<Record<string, NdArray>> {
    const rows = Object.values(feeds)[0]?.dims[0] ?? 0;
    const undecided = this.#ways.length > 1;
    // Measured with what suits all ways.
    if (undecided && (rows <= sizes[0] || rows > mostRuns * sizes[1]))
      return this.#session.run(feeds, fetches);
    const way = this.#ways.reduce((a, b) => (b.times.length < a.times.length ? b : a));
    const start = this.#now();
    const outputs = await this.#runSlices(feeds, rows, way.size, fetches);
    if (!outputs) {
      // It mixes or drops rows.
      this.#ways = [{ size: Infinity, times: [] }];
      return this.#session.run(feeds, fetches);
    }
    if (undecided) {
      way.times.push((this.#now() - start) / rows);
      this.#choose();
    }
    return outputs;
  }

  /** Slices of the same size, or one row less. Undefined when an answer has not as many rows as its slice. */
  async #runSlices(
    feeds: Feeds,
    rows: number,
    size: number,
    fetches: readonly string[] | undefined,
  ): Promise<Record<string, NdArray> | undefined> {
    const count = Math.ceil(rows / size);
    if (count <= 1) return this.#session.run(feeds, fetches);
    const parts: Record<string, NdArray>[] = [];
    for (let part = 0; part < count; part++) {
      const from = Math.floor((part * rows) / count);
      const length = Math.floor(((part + 1) * rows) / count) - from;
      const slice = Object.entries(feeds).map(([name, array]) => [name, takeRows(array, from, length)]);
      const outputs = await this.#session.run(Object.fromEntries(slice) as Feeds, fetches);
      if (Object.values(outputs).some(({ dims }) => dims[0] !== length)) return undefined;
      parts.push(outputs);
    }
    return joinRows(parts);
  }

  #choose(): void {
    if (this.#ways.some(({ times }) => times.length < measured)) return;
    const [whole, ...slices] = this.#ways;
    const best = slices.reduce((a, b) => (median(b.times) < median(a.times) ? b : a));
    this.#ways = [median(whole!.times) > fasterBy * median(best.times) ? best : whole!];
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
