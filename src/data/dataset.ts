import type { NdArray } from '../ir/tensor.js';
import type { DataSchema } from './describe-schema.js';
import type { Signature } from './signature.js';

export type SplitName = 'train' | 'validation' | 'test';

/** Rows of one split as tensors. Row i of every tensor is the same row of the source. */
export interface Table {
  readonly rows: number;
  /** Line of each row in the source file, from 1. */
  readonly lines: Uint32Array;
  /** By model input, [rows, …]. */
  readonly inputs: Readonly<Record<string, NdArray>>;
  /** Classification: class index, int64 [rows]. Regression: float32 [rows, 1]. */
  readonly target: NdArray;
}

/** Mean and standard deviation (population) of each column of the numeric input, over the train split. */
export interface Statistics {
  readonly mean: Float32Array;
  readonly deviation: Float32Array;
}

export interface Dataset {
  /** sha256 of the source's bytes and of everything in the config that changes the rows or the split. */
  readonly digest: string;
  readonly signature: Signature;
  readonly statistics: Readonly<Record<string, Statistics>>;
  /** What the source holds, by column. */
  readonly schema?: DataSchema;
  /** What the person who trains should know about the data, a line each. */
  readonly notes?: readonly string[];
  readonly splits: Readonly<Record<SplitName, Table>>;
}
