import type { NdArray, TypedArray } from '../../../ir/tensor.js';
import type { Feeds, SessionOptions } from '../../../runtime/session.js';

/** What a worker is started with. */
export interface WorkerSetup {
  /** Bytes of the model; its path when it has external data. */
  readonly model: Uint8Array | string;
  readonly session: SessionOptions;
  readonly fetches: readonly string[];
}

/** To a worker, one at a time: `run` is answered, `close` ends it once what it does is done. */
export type Order = { readonly run: Feeds } | { readonly close: true };

/** From a worker: it is open for orders, or what came of the last one. */
export type Report =
  | { readonly opened: true }
  | { readonly refused: string }
  | { readonly outputs: Readonly<Record<string, NdArray>> }
  | { readonly failed: string };

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
    const whole = numbers.byteLength === buffer.byteLength && !transfer.has(buffer);
    const own = owned && whole ? numbers : (numbers.slice() as TypedArray);
    transfer.add(own.buffer as ArrayBuffer);
    packed[name] = { dtype, dims, data: own as never };
  }
  return { packed, transfer: [...transfer] };
}
