import type { DataSchema } from './describe-schema.js';
import type { FileRange, NdArray, NumericDType } from '../ir/tensor.js';
import type { Signature } from './signature.js';
import type { AppliedTransform } from './transforms/index.js';

export type SplitName = 'train' | 'validation' | 'test';

/** Rows that lie in a file, row-major and little-endian, as their dtype says. */
export interface StoredRows extends FileRange {
  /** Rows that are read at a time. An order that stays within few blocks for a while is read fast. */
  readonly block: number;
  /** Of strings: the file has the index of each in this list, as uint32. */
  readonly texts?: readonly string[];
  /** Of each row of the column, the row in the file; without it they are the same. */
  readonly order?: Uint32Array;
}

/**
 * One tensor of a table, [rows, …], in memory or on disk. It is plain data: a worker thread can be handed it, and reads
 * it by itself.
 */
export interface Column<D extends NumericDType | 'string' = NumericDType | 'string'> {
  readonly dtype: D;
  readonly dims: readonly number[];
  readonly data: NdArray<D>['data'] | StoredRows;
}

/**
 * Rows of one split as tensors, in memory or on disk. Row i of every tensor is the same row of the source. Read them
 * through rows.ts, a batch at a time.
 */
export interface Table {
  readonly rows: number;
  /** Line of each row in the source file, from 1. */
  readonly lines: Uint32Array | StoredRows;
  /** By model input, [rows, …]. */
  readonly inputs: Readonly<Record<string, Column>>;
  /** Classification: class index, int64 [rows]. Regression: float32 [rows, 1]. */
  readonly target: Column;
  /** The same of further targets, by name. */
  readonly others?: Readonly<Record<string, Column>>;
}

/**
 * Mean and standard deviation (population) of each column of the numeric input, over the train split; of an array one of
 * each over all its elements.
 */
export interface Statistics {
  readonly mean: Float32Array;
  readonly deviation: Float32Array;
}

export interface Dataset {
  /** sha256 of the source's bytes and of everything in the config that changes the rows or the split. */
  readonly digest: string;
  readonly signature: Signature;
  readonly statistics: Readonly<Record<string, Statistics>>;
  /** What is done with features, by name, where it is not the default of their type. */
  readonly transforms?: Readonly<Record<string, AppliedTransform>>;
  /** What the source holds, by column. */
  readonly schema?: DataSchema;
  /** What the person who trains should know about the data, a line each. */
  readonly notes?: readonly string[];
  readonly splits: Readonly<Record<SplitName, Table>>;
}
