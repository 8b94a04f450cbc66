import type { Column, Table } from '../../../../data/dataset.js';
import { openRows, rowBytes as bytesOfRow } from '../../../../data/rows.js';
import { sizeOf, type NdArray } from '../../../../ir/tensor.js';
import type { TargetInputs } from './forward.js';
import type { Rooms } from './rooms.js';

/**
 * Puts rows together to batches, by the names of the graph's inputs. The arrays are the caller's: to give away, and back
 * to `rooms` in the end.
 * @param order Rows of the table; those from `start` on are taken.
 * @param leading Sizes of the first axes: [rows], or [batches, rows].
 */
export type TakeRows = (
  order: ArrayLike<number>,
  start: number,
  leading: readonly number[],
) => Record<string, NdArray>;

/** @param columns Columns of the table, [rows, …], by the input that they feed. */
export function prepareBatches(columns: Readonly<Record<string, Column>>, rooms: Rooms): TakeRows {
  const entries = Object.entries(columns).map(([name, from]) => ({ name, from, read: openRows(from) }));
  return (order, start, leading) => {
    const count = sizeOf(leading);
    const taken = entries.map(({ name, from: { dtype, dims }, read }) => {
      const length = count * sizeOf(dims.slice(1));
      const data = dtype === 'string' ? new Array<string>(length) : rooms.take(dtype, length);
      read(order, start, count, data);
      return [name, { dtype, dims: [...leading, ...dims.slice(1)], data }];
    });
    return Object.fromEntries(taken) as Record<string, NdArray>;
  };
}

/** The columns that a compiled graph reads from a table. */
export function columnsOf(
  { inputs, targets }: { readonly inputs: readonly string[]; readonly targets: TargetInputs },
  table: Pick<Table, 'inputs' | 'target' | 'others'>,
): Record<string, Column> {
  const goals = Object.entries(targets).map(([input, name]): [string, Column] => [
    input,
    name === undefined ? table.target : table.others![name]!,
  ]);
  return Object.fromEntries([
    ...inputs.map((name): [string, Column] => [name, table.inputs[name]!]),
    ...goals,
  ]);
}

/** Bytes that one row takes in a batch; a text counts as its reference. */
export function rowBytes(columns: Readonly<Record<string, Column>>): number {
  return Object.values(columns).reduce((sum, column) => sum + bytesOfRow(column), 0);
}
