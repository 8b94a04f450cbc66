import type { Table } from '../../../../data/dataset.js';
import { allocate, sizeOf, type NdArray, type TypedArray } from '../../../../ir/tensor.js';

/** From this many elements on, a row is copied as a block. */
const wide = 32;

/** Puts rows together to batches, by the names of the graph's inputs. */
export type TakeRows = (
  order: ArrayLike<number>,
  start: number,
  count: number,
) => Readonly<Record<string, NdArray>>;

/**
 * Prepares room for batches of up to `most` rows. What the returned function gives is overwritten by its next call.
 * @param columns Arrays of the table, [rows, …], by the input that they feed.
 */
export function prepareBatches(columns: Readonly<Record<string, NdArray>>, most: number): TakeRows {
  const entries = Object.entries(columns).map(([name, from]) => ({ name, from, to: roomFor(from, most) }));
  const batches = new Map<number, Record<string, NdArray>>();
  return (order, start, count) => {
    for (const { from, to } of entries) copyRows(from, to, order, start, count);
    let batch = batches.get(count);
    if (!batch) {
      batch = Object.fromEntries(entries.map(({ name, from, to }) => [name, firstRows(from, to, count)]));
      batches.set(count, batch);
    }
    return batch;
  };
}

/** The columns that a compiled graph reads from a table. */
export function columnsOf(
  { inputs, target }: { readonly inputs: readonly string[]; readonly target: string },
  table: Table,
): Record<string, NdArray> {
  return { ...Object.fromEntries(inputs.map((name) => [name, table.inputs[name]!])), [target]: table.target };
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

function firstRows({ dtype, dims }: NdArray, room: Room, count: number): NdArray {
  const shape = [count, ...dims.slice(1)];
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
