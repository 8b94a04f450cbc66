import type { z } from 'zod';
import type { GraphBuilder } from '../../ir/builder.js';
import type { ColumnType } from '../config.js';
import type { Feature } from '../signature.js';

/** Where a transform puts its nodes. */
export interface Site {
  readonly g: GraphBuilder;
  /** Adds a weight that training may change, drawn evenly between −0.05 and 0.05 as Keras draws embeddings. */
  readonly weight: (name: string, dims: readonly number[]) => string;
}

/** A column and what its transform learned from the train split. */
export interface Fitted<Facts = unknown> {
  readonly feature: Feature;
  readonly facts: Facts;
}

/** What a transform turns columns of one type into, inside of the model: trained and served alike. */
export interface Transform<Value extends number | string = never, Options = never, Facts = never> {
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  /** Type of the columns that it takes. */
  readonly takes: ColumnType;
  /** Why a value cannot be transformed, in words that follow the column's name; undefined when it can. */
  refuse?(value: number): string | undefined;
  /**
   * Learns what the nodes must know.
   * @param values Of the train split, missing numbers filled in. May be read more than once.
   */
  fit(values: Iterable<Value>, options: Options, feature: Feature): Facts;
  /**
   * Emits the nodes. Columns of numbers whose transforms share this function come together.
   * @param x Raw values: numbers float32 [N, columns], everything else string [N, 1].
   * @returns float32 [N, features], or another shape where the transform gives sequences.
   */
  readonly emit: (site: Site, x: string, columns: readonly Fitted<Facts>[]) => string;
}
