import type { Table } from '../../../../data/dataset.js';
import { allocate, bitsOf, sizeOf, type NdArray, type TypedArray } from '../../../../ir/tensor.js';

/** From this many elements on, a row is copied as a block. */
const wide = 32;

/**
 * Puts rows together to batches, by the names of the graph's inputs.
 * @param order Rows of the table; those from `start` on are taken.
 * @param leading Sizes of the first axes: [rows], or [batches, rows].
 */
export type TakeRows = (
  order: ArrayLike<number>,
  start: number,
  leading: readonly number[],
) => Readonly<Record<string, NdArray>>;

/**
 * Prepares room for batches. What the returned function gives is overwritten by its next call.
 * @param columns Arrays of the table, [rows, …], by the input that they feed.
 */
export function prepareBatches(columns: Readonly<Record<string, NdArray>>): TakeRows {
  const entries = Object.entries(columns).map(([name, from]) => ({ name, from, to: roomFor(from, 0) }));
  const batches = new Map<string, Record<string, NdArray>>();
  let room = 0;
  return (order, start, leading) => {
    const count = sizeOf(leading);
    if (count > room) {
      room = count;
      for (const entry of entries) entry.to = roomFor(entry.from, room);
      batches.clear();
    }
    for (const { from, to } of entries) copyRows(from, to, order, start, count);
    const key = leading.join();
    let batch = batches.get(key);
    if (!batch) {
      batch = Object.fromEntries(entries.map(({ name, from, to }) => [name, firstRows(from, to, leading)]));
      batches.set(key, batch);
    }
    return batch;
  };
}

/** The columns that a compiled graph reads from a table. */
export function columnsOf(
  { inputs, target }: { readonly inputs: readonly string[]; readonly target: string },
  table: Pick<Table, 'inputs' | 'target'>,
): Record<string, NdArray> {
  return { ...Object.fromEntries(inputs.map((name) => [name, table.inputs[name]!])), [target]: table.target };
}

/** Bytes that one row takes in a batch; a text counts as its reference. */
export function rowBytes(columns: Readonly<Record<string, NdArray>>): number {
  return Object.values(columns).reduce((sum, { dtype, dims }) => {
    return sum + sizeOf(dims.slice(1)) * (dtype === 'string' ? 8 : bitsOf[dtype] / 8);
  }, 0);
}

type Room = TypedArray | string[];

function roomFor({ dtype, dims }: NdArray, rows: number): Room {
  const length = rows * sizeOf(dims.slice(1));
  return dtype === 'string' ? new Array<string>(length).fill('') : allocate(dtype, length);
}

function copyRows(
  { data, dims }: NdArray,
  to: Room,
  order: ArrayLike<number>,
  start: number,
  count: number,
): void {
  const width = sizeOf(dims.slice(1));
  // Both sides are of the same kind, whichever it is.
  const [from, into] = [data as Float32Array, to as Float32Array];
  for (let row = 0; row < count; row++) {
    const source = order[start + row]! * width;
    const goal = row * width;
    if (width >= wide && ArrayBuffer.isView(data)) into.set(from.subarray(source, source + width), goal);
    else for (let at = 0; at < width; at++) into[goal + at] = from[source + at]!;
  }
}

function firstRows({ dtype, dims }: NdArray, room: Room, leading: readonly number[]): NdArray {
  const shape = [...leading, ...dims.slice(1)];
  const length = sizeOf(shape);
  if (dtype !== 'string') {
    return { dtype, dims: shape, data: (room as TypedArray).subarray(0, length) };
  }
  // Lists of strings have no views of a part: it is copied when it is read.
  const strings = room as string[];
  return {
    dtype,
    dims: shape,
    get data() {
      return length === strings.length ? strings : strings.slice(0, length);
    },
  };
}
