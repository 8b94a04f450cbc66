import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { allocate, bitsOf, type NumericDType, type TypedArray } from '../../ir/tensor.js';
import type { Column } from '../dataset.js';

/** Bytes of a block, roughly. */
const blockBytes = 1 << 22;

/** How a column of a table lies on disk. */
export interface Layout {
  readonly dtype: NumericDType | 'string';
  /** Of one row. */
  readonly dims: readonly number[];
  /** Of strings. */
  readonly texts?: readonly string[];
}

/** The columns of a table of `rows` rows in `folder`, in the order of their layouts. */
export function openColumns(
  folder: string,
  table: string,
  layouts: readonly Layout[],
  rows: number,
): Column[] {
  const widest = layouts.reduce((sum, layout) => sum + rowBytes(layout), 0);
  const block = Math.max(1, Math.floor(blockBytes / widest));
  return layouts.map((layout, index) => {
    const { dtype, dims, texts } = layout;
    const length = rows * rowBytes(layout);
    const data = { path: pathOf(folder, table, index), offset: 0, length, block, ...(texts && { texts }) };
    return { dtype, dims: [rows, ...dims], data };
  });
}

/** Names of columns are no names of files. */
function pathOf(folder: string, table: string, index: number): string {
  return join(folder, `${table}-${index}.bin`);
}

/** Writes the columns of one table, each to a file of its own, some rows at a time. */
export class ColumnFiles {
  rows = 0;

  constructor(
    private readonly folder: string,
    private readonly table: string,
    private readonly layouts: readonly Layout[],
  ) {}

  /** Arrays for `rows` rows, one for each column, to be filled and appended. */
  room(rows: number): TypedArray[] {
    return this.layouts.map((layout) => allocate(storedType(layout), rows * sizeOf(layout)));
  }

  /** Appends the first `rows` rows of arrays. */
  append(arrays: readonly TypedArray[], rows: number): void {
    if (rows === 0) return;
    for (const [index, layout] of this.layouts.entries()) {
      const array = arrays[index]!;
      const bytes = new Uint8Array(array.buffer, array.byteOffset, rows * rowBytes(layout));
      const file = openSync(pathOf(this.folder, this.table, index), 'a');
      try {
        for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
      } finally {
        closeSync(file);
      }
    }
    this.rows += rows;
  }
}

function storedType({ dtype }: Layout): NumericDType {
  return dtype === 'string' ? 'uint32' : dtype;
}

function sizeOf({ dims }: Layout): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

function rowBytes(layout: Layout): number {
  return (sizeOf(layout) * bitsOf[storedType(layout)]) / 8;
}
