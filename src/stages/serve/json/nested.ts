import type { NdArray } from '../../../ir/tensor.js';
import { takeRows } from '../../../runtime/rows.js';
import { encodeData } from './tensors.js';

/** The shape of nested lists by their first elements, at most `rank` levels deep. */
export function shapeOf(value: unknown, rank: number): number[] {
  const dims: number[] = [];
  for (let level = value; Array.isArray(level) && dims.length < rank; level = (level as unknown[])[0]) {
    dims.push(level.length);
  }
  return dims;
}

/** Prints a tensor as lists within lists, a scalar as itself. */
export function encodeNested(array: NdArray): string {
  const [rows, ...inner] = array.dims;
  if (rows === undefined) return encodeData(array).slice(1, -1);
  if (inner.length === 0) return encodeData(array);
  return `[${Array.from({ length: rows }, (_, row) => encodeRow(array, row)).join(',')}]`;
}

/** Prints one row of a tensor: what lies below dimension 0. */
export function encodeRow(array: NdArray, row: number): string {
  const taken = takeRows(array, row, 1);
  return encodeNested({ ...taken, dims: taken.dims.slice(1) });
}
