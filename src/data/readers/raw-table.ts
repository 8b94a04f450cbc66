import type { Place } from '../../errors.js';

/** A source as text cells, before anything is known of their meaning. */
export interface RawTable {
  readonly path: string;
  /** sha256 of the source's bytes, in hex. */
  readonly sha256: string;
  readonly header: readonly string[];
  /** By column of the header, then by row. */
  readonly columns: readonly (readonly string[])[];
  /** Line that each row starts on, from 1. */
  readonly lines: readonly number[];
  /** Where a cell is, for an error message; reads the source again. `row` −1 is the header. */
  locate(row: number, column: number): Promise<Place>;
}

export interface ReadOptions {
  /** Query over the source. */
  readonly sql?: string;
  readonly delimiter?: string;
  readonly signal?: AbortSignal;
}
