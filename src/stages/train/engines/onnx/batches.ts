import type { Column, Table } from '../../../../data/dataset.js';
import { openRows, roomFor, rowBytes as bytesOfRow, type Room } from '../../../../data/rows.js';
import { sizeOf, type NdArray, type TypedArray } from '../../../../ir/tensor.js';

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
 * @param columns Columns of the table, [rows, …], by the input that they feed.
 */
export function prepareBatches(columns: Readonly<Record<string, Column>>): TakeRows {
  const entries = Object.entries(columns).map(([name, from]) => ({
    name,
    from,
    read: openRows(from),
    to: roomFor(from, 0),
  }));
  const batches = new Map<string, Record<string, NdArray>>();
  let room = 0;
  return (order, start, leading) => {
    const count = sizeOf(leading);
    if (count > room) {
      room = count;
      for (const entry of entries) entry.to = roomFor(entry.from, room);
      batches.clear();
    }
    for (const { read, to } of entries) read(order, start, count, to);
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
): Record<string, Column> {
  return { ...Object.fromEntries(inputs.map((name) => [name, table.inputs[name]!])), [target]: table.target };
}

/** Bytes that one row takes in a batch; a text counts as its reference. */
export function rowBytes(columns: Readonly<Record<string, Column>>): number {
  return Object.values(columns).reduce((sum, column) => sum + bytesOfRow(column), 0);
}

function firstRows({ dtype, dims }: Column, room: Room, leading: readonly number[]): NdArray {
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
