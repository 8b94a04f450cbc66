import { jensenShannon, stabilityIndex } from '../../../data/drift/compare.js';
import { binFinder, binsOf } from '../../../data/drift/distribution.js';
import {
  watchedFeatures,
  watchedPredictions,
  type Distribution,
  type Reference,
  type Watched,
} from '../../../data/drift/reference.js';
import type { Signature } from '../../../data/signature.js';
import type { Feeds } from '../../../runtime/session.js';

export interface DriftOptions {
  /** Share of the requests that are looked at. */
  readonly rate: number;
  /** Rows that are compared together, at most. */
  readonly window: number;
  /** Rows before anything is said. */
  readonly minRows: number;
}

/** How far one feature, or what the model says, is from its reference. */
export interface DriftReport {
  readonly kind: 'feature' | 'prediction';
  readonly name: string;
  readonly of?: string;
  /** Population stability index. */
  readonly psi: number;
  /** Distance, 0 to 1. */
  readonly jensenShannon: number;
  /** Of numbers: where the ranges meet. Of categories: the values. The counts have one more for others, and one for none. */
  readonly edges?: readonly number[];
  readonly values?: readonly string[];
  readonly expected: readonly number[];
  readonly observed: readonly number[];
}

/** A thing that is watched, with the counts of the block that fills and of the one before. */
interface Histogram {
  readonly kind: DriftReport['kind'];
  readonly watched: Watched;
  readonly reference: Distribution;
  readonly find: (value: number | string) => number;
  filling: Float64Array;
  full: Float64Array;
}

/**
 * Counts what comes and what is answered, in the bins of the release's reference. Rows are forgotten by blocks of half a
 * window, so that a change shows however many rows came before it, and the memory is that of the bins.
 */
export class DriftWatch {
  readonly #options: DriftOptions;
  readonly #histograms: readonly Histogram[];
  #filling = 0;
  #full = 0;

  constructor(signature: Signature, reference: Reference, options: DriftOptions) {
    this.#options = options;
    const watch = (
      kind: DriftReport['kind'],
      watched: readonly Watched[],
      known: readonly Distribution[],
    ): Histogram[] =>
      watched.flatMap((each): Histogram[] => {
        const reference = known.find(({ name }) => name === each.name);
        if (!reference) return [];
        const bins = binsOf(reference);
        return [
          {
            kind,
            watched: each,
            reference,
            find: binFinder(reference),
            filling: new Float64Array(bins),
            full: new Float64Array(bins),
          },
        ];
      });
    this.#histograms = [
      ...watch('feature', watchedFeatures(signature), reference.features),
      ...watch('prediction', watchedPredictions(signature), reference.predictions),
    ];
  }

  /** Rows that are compared at this moment. */
  get rows(): number {
    return this.#filling + this.#full;
  }

  get minRows(): number {
    return this.#options.minRows;
  }

  /** @param draw from 0 to 1, by which a request is taken or left */
  see(feeds: Feeds, outputs: Feeds, draw = Math.random()): void {
    if (draw >= this.#options.rate) return;
    const rows = Object.values(feeds)[0]?.dims[0] ?? 0;
    const half = Math.max(1, Math.ceil(this.#options.window / 2));
    for (let row = 0; row < rows; row++) {
      for (const { kind, watched, find, filling } of this.#histograms) {
        filling[find(watched.read(kind === 'feature' ? feeds : outputs, row))]!++;
      }
      if (++this.#filling >= half) this.#turn();
    }
  }

  /** Nothing until there are rows enough to tell a change from chance. */
  report(): readonly DriftReport[] {
    if (this.rows < this.#options.minRows) return [];
    return this.#histograms.map(({ kind, watched: { name, of }, reference, filling, full }) => {
      const observed = Array.from(filling, (count, bin) => count + full[bin]!);
      const expected = reference.counts;
      return {
        kind,
        name,
        ...(of && { of }),
        psi: stabilityIndex(expected, observed),
        jensenShannon: jensenShannon(expected, observed),
        ...(reference.type === 'number' ? { edges: reference.edges } : { values: reference.values }),
        expected,
        observed,
      };
    });
  }

  #turn(): void {
    for (const histogram of this.#histograms) {
      [histogram.full, histogram.filling] = [histogram.filling, histogram.full];
      histogram.filling.fill(0);
    }
    [this.#full, this.#filling] = [this.#filling, 0];
  }
}
