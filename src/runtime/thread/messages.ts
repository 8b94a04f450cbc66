import type { NdArray, TypedArray } from '../../ir/tensor.js';
import type { Feeds, SessionOptions, Slots } from '../session.js';
import type { BankPlan } from './bank.js';

/** What a run takes and leaves in the thread, beside what it is sent and answers. */
export interface RunOptions {
  /** Outputs that are wanted; all of them by default. */
  readonly fetches?: readonly string[];
  /** Inputs that are fed what the thread keeps: input → name of what is kept. */
  readonly use?: Readonly<Record<string, string>>;
  /** Outputs that stay in the thread for later runs: output → name under which it is kept. They are not answered. */
  readonly keep?: Readonly<Record<string, string>>;
  /** The rows do not depend on each other: they may run a few at a time. */
  readonly apart?: boolean;
}

/** A run for each of several batches, and after it the kernels of the banks. */
export interface Walk {
  readonly count: number;
  /** Inputs that are fed what the thread keeps: input → name of what is kept. */
  readonly use: Readonly<Record<string, string>>;
  /** Outputs that are written into what the thread keeps, by the output's name: those of banks, and others. */
  readonly into: readonly string[];
  /** What is copied after each run: name of what is kept → name of what takes its place. */
  readonly move: Readonly<Record<string, string>>;
  /** The output of one number that is answered for each run. */
  readonly tell: string;
  /** What the kernels are given after each run, [count][scalars]. */
  readonly scalars: readonly (readonly number[])[];
}

/** To a thread, which does one after another: each is answered with its `id`. */
export type Order = { readonly id: number } & Task;

export type Task =
  | { readonly do: 'open'; readonly model: Uint8Array | string; readonly options: SessionOptions }
  | {
      readonly do: 'run';
      readonly session: number;
      readonly feeds: Feeds;
      readonly options: RunOptions;
      /** The arrays of the feeds go back with the answer, so that their sender may fill them again. */
      readonly lent: boolean;
    }
  | { readonly do: 'arrange'; readonly banks: readonly BankPlan[] }
  | { readonly do: 'walk'; readonly session: number; readonly feeds: Feeds; readonly walk: Walk }
  | { readonly do: 'put'; readonly tensors: Feeds }
  | { readonly do: 'read'; readonly names: readonly string[] }
  | { readonly do: 'release'; readonly session: number }
  | { readonly do: 'close' };

/** From a thread: what came of an order. */
export type Report =
  | { readonly id: number; readonly arrays: Feeds; readonly returned?: Feeds }
  | { readonly id: number; readonly session: number; readonly slots: Slots }
  | { readonly id: number; readonly failed: Failure };

export interface Failure {
  readonly message: string;
  /** Code of a MaasError. */
  readonly code: string | undefined;
}

/**
 * Makes arrays ready for another thread: numbers are handed over, not copied, when they are the sender's own and fill
 * their buffer. A view is copied first: its buffer holds what others still need.
 */
export function packArrays(
  arrays: Feeds,
  owned: boolean,
): { packed: Record<string, NdArray>; transfer: ArrayBuffer[] } {
  const packed: Record<string, NdArray> = {};
  const transfer = new Set<ArrayBuffer>();
  for (const [name, { dtype, dims, data }] of Object.entries(arrays)) {
    if (dtype === 'string') {
      packed[name] = { dtype, dims, data };
      continue;
    }
    const numbers = data as TypedArray;
    const buffer = numbers.buffer as ArrayBuffer;
    // Posted again it would go nowhere, without a word.
    if (numbers.length === 0 && !dims.includes(0)) throw new TypeError(`${name} was given away before`);
    const whole = numbers.byteLength === buffer.byteLength && !transfer.has(buffer);
    const own = owned && whole ? numbers : (numbers.slice() as TypedArray);
    transfer.add(own.buffer as ArrayBuffer);
    packed[name] = { dtype, dims, data: own as never };
  }
  return { packed, transfer: [...transfer] };
}

/** The buffers of arrays that are lent: views go over with the whole of what they are views of. */
export function buffersOf(arrays: Feeds): ArrayBuffer[] {
  const buffers = Object.values(arrays).flatMap(({ data }) =>
    ArrayBuffer.isView(data) ? [data.buffer as ArrayBuffer] : [],
  );
  return [...new Set(buffers)];
}
