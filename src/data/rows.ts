import { closeSync, openSync, readSync } from 'node:fs';
import type { Column, StoredRows, Table } from './dataset.js';
import { MaasError } from '../errors.js';
import { allocate, bitsOf, sizeOf, type NdArray, type NumericDType, type TypedArray } from '../ir/tensor.js';

/** What rows are copied into: an array of the column's kind. */
export type Room = TypedArray | string[];

/** Copies the rows `order[start]`, … one behind the other, `count` of them, to the beginning of `into`. */
export type ReadRows = (order: ArrayLike<number>, start: number, count: number, into: Room) => void;

/** Blocks of a column that are kept. */
export const blocksKept = 8;
/** Rows of a block that are read by themselves before it is worth its while to read all of it. */
const singleReads = 4;
/** From this many elements on, a row is copied as a block. */
const wide = 32;
/** Rows of a part, and its bytes where rows are long. */
const partRows = 65_536;
const partBytes = 2 ** 26;

export function isStored(column: Column): column is Column & { readonly data: StoredRows } {
  return 'path' in column.data;
}

/** An array for `rows` rows of a column. */
export function roomFor({ dtype, dims }: Pick<Column, 'dtype' | 'dims'>, rows: number): Room {
  const length = rows * sizeOf(dims.slice(1));
  return dtype === 'string' ? new Array<string>(length).fill('') : allocate(dtype, length);
}

/** Bytes of one row; a text counts as its reference. */
export function rowBytes({ dtype, dims }: Pick<Column, 'dtype' | 'dims'>): number {
  return sizeOf(dims.slice(1)) * (dtype === 'string' ? 8 : bitsOf[dtype] / 8);
}

/**
 * Prepares to read rows of a column. Nothing is held open.
 * @throws MaasError MAAS_DATA_CHANGED, when it is called, if the file is gone or has become shorter.
 */
export function openRows(column: Column): ReadRows {
  const width = sizeOf(column.dims.slice(1));
  if (!isStored(column)) {
    const data = column.data as TypedArray | string[];
    return (order, start, count, into) => {
      copyRows(data, into, width, order, start, count);
    };
  }
  const { texts, order: stored } = column.data;
  const dtype = column.dtype === 'string' ? 'uint32' : column.dtype;
  const rowAt = openBlocks(column.data, dtype, width);
  return (order, start, count, into) => {
    for (let row = 0; row < count; row++) {
      const index = order[start + row]!;
      const { data, at } = rowAt(stored ? stored[index]! : index);
      const goal = row * width;
      if (texts) for (let i = 0; i < width; i++) into[goal + i] = texts[data[at + i] as number]!;
      else if (width >= wide) (into as Float32Array).set(data.subarray(at, at + width) as Float32Array, goal);
      else for (let i = 0; i < width; i++) into[goal + i] = data[at + i]!;
    }
  };
}

function copyRows(
  from: Room,
  to: Room,
  width: number,
  order: ArrayLike<number>,
  start: number,
  count: number,
): void {
  // Both sides are of the same kind, whichever it is.
  const [source, into] = [from as Float32Array, to as Float32Array];
  const isView = width >= wide && ArrayBuffer.isView(from);
  for (let row = 0; row < count; row++) {
    const at = order[start + row]! * width;
    const goal = row * width;
    if (isView) into.set(source.subarray(at, at + width), goal);
    else for (let i = 0; i < width; i++) into[goal + i] = source[at + i]!;
  }
}

/** Where a row is: from index `at` of `data` on. */
interface RowAt {
  data: TypedArray;
  at: number;
}

/** Reads blocks as they are asked for, and keeps the latest. What it returns is overwritten by the next call. */
function openBlocks(
  { path, offset, length, block }: StoredRows,
  dtype: NumericDType,
  width: number,
): (row: number) => RowAt {
  const bytes = (width * bitsOf[dtype]) / 8;
  const rows = length / bytes;
  const kept = new Map<number, TypedArray>();
  const asked = new Map<number, number>();
  const single = allocate(dtype, width);
  const found: RowAt = { data: single, at: 0 };
  let [latest, latestData]: [number, TypedArray] = [-1, single];
  return (row) => {
    const index = Math.floor(row / block);
    if (index !== latest) {
      let data = kept.get(index);
      if (data) kept.delete(index);
      else {
        const times = (asked.get(index) ?? 0) + 1;
        if (times <= singleReads) {
          asked.set(index, times);
          readInto(single, path, offset + row * bytes);
          return Object.assign(found, { data: single, at: 0 });
        }
        asked.delete(index);
        data = allocate(dtype, Math.min(block, rows - index * block) * width);
        readInto(data, path, offset + index * block * bytes);
        if (kept.size === blocksKept) kept.delete(kept.keys().next().value!);
      }
      kept.set(index, data);
      [latest, latestData] = [index, data];
    }
    found.data = latestData;
    found.at = (row - latest * block) * width;
    return found;
  };
}

function readInto(array: TypedArray, path: string, position: number): void {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    for (let at = 0; at < bytes.length;) {
      const read = readSync(file, bytes, at, bytes.length - at, position + at);
      if (read === 0) throw new Error('it is shorter than it was');
      at += read;
    }
  } catch (error) {
    throw new MaasError('MAAS_DATA_CHANGED', `the encoded data cannot be read: ${(error as Error).message}`, {
      place: { file: path },
      hint: 'Run the same command again: the data is then encoded anew.',
      cause: error,
    });
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Some rows of a column, in the order given. */
export function gatherColumn(column: Column, order: ArrayLike<number>): NdArray {
  const into = roomFor(column, order.length);
  openRows(column)(order, 0, order.length, into);
  return { dtype: column.dtype, dims: [order.length, ...column.dims.slice(1)], data: into };
}

/** Some rows of every column, in the order given. */
export function gatherRows(
  columns: Readonly<Record<string, Column>>,
  order: ArrayLike<number>,
): Record<string, NdArray> {
  return mapColumns(columns, (column) => gatherColumn(column, order));
}

/** Rows `start` to `end` of every column; as views where they are in memory and the type allows it. */
export function sliceRows(
  columns: Readonly<Record<string, Column>>,
  start: number,
  end: number,
): Record<string, NdArray> {
  return mapColumns(columns, (column) => sliceColumn(column, start, end));
}

/** Rows `start` to `end` of a column. */
export function sliceColumn(column: Column, start: number, end: number): NdArray {
  const { dtype, dims } = column;
  const width = sizeOf(dims.slice(1));
  const shape = [end - start, ...dims.slice(1)];
  if (!isStored(column)) {
    const whole = column.data as Float32Array;
    const [from, to] = [start * width, end * width];
    return {
      dtype,
      dims: shape,
      data: dtype === 'string' ? whole.slice(from, to) : whole.subarray(from, to),
    };
  }
  const { path, offset, texts, order } = column.data;
  if (order) return gatherColumn(column, range(start, end));
  const type = dtype === 'string' ? 'uint32' : dtype;
  const data = allocate(type, (end - start) * width);
  readInto(data, path, offset + (start * width * bitsOf[type]) / 8);
  if (!texts) return { dtype, dims: shape, data };
  return { dtype: 'string', dims: shape, data: Array.from(data as Uint32Array, (index) => texts[index]!) };
}

function range(start: number, end: number): Uint32Array {
  return Uint32Array.from({ length: end - start }, (_, at) => start + at);
}

/** A column part by part, in its own order: nothing of it need be in memory whole. */
export function* partsOf(column: Column): Generator<NdArray> {
  const rows = column.dims[0]!;
  const most = Math.max(1, Math.min(partRows, Math.floor(partBytes / rowBytes(column))));
  for (let start = 0; start < rows; start += most) {
    yield sliceColumn(column, start, Math.min(start + most, rows));
  }
}

/** The elements of a column as plain numbers. */
export function numbersOf(column: Column): number[] {
  const numbers: number[] = [];
  for (const { data } of partsOf(column)) for (const value of data) numbers.push(Number(value));
  return numbers;
}

/** Line of a row of a table in the source, from 1. */
export function lineOf({ rows, lines }: Table, row: number): number {
  if (!('path' in lines)) return lines[row]!;
  return Number(sliceColumn({ dtype: 'uint32', dims: [rows], data: lines }, row, row + 1).data[0]);
}

function mapColumns(
  columns: Readonly<Record<string, Column>>,
  change: (column: Column) => NdArray,
): Record<string, NdArray> {
  return Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, change(column)]));
}
