import { allocate, sizeOf, type NdArray, type TypedArray } from '../ir/tensor.js';
import type { Feeds } from './session.js';

/** Puts feeds of the same names, types and inner sizes behind one another along dimension 0. */
export function joinRows(parts: readonly Feeds[]): Record<string, NdArray> {
  const joined: Record<string, NdArray> = {};
  for (const name of Object.keys(parts[0] ?? {})) joined[name] = joinArrays(parts.map((part) => part[name]!));
  return joined;
}

function joinArrays(arrays: readonly NdArray[]): NdArray {
  const { dtype, dims } = arrays[0]!;
  const rows = arrays.reduce((sum, array) => sum + array.dims[0]!, 0);
  const joined = [rows, ...dims.slice(1)];
  if (dtype === 'string') {
    return { dtype, dims: joined, data: arrays.flatMap((array) => array.data as string[]) };
  }
  const data = allocate(dtype, sizeOf(joined));
  let offset = 0;
  for (const array of arrays) {
    data.set(array.data as never, offset);
    offset += array.data.length;
  }
  return { dtype, dims: joined, data };
}

/**
 * Cuts outputs along dimension 0 into parts of these sizes; numbers are views, not copies.
 * Undefined when an output does not have exactly as many rows as the parts together.
 */
export function splitRows(
  outputs: Readonly<Record<string, NdArray>>,
  sizes: readonly number[],
): Record<string, NdArray>[] | undefined {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (Object.values(outputs).some((output) => output.dims[0] !== total)) return undefined;
  let start = 0;
  return sizes.map((size) => {
    const part: Record<string, NdArray> = {};
    for (const [name, output] of Object.entries(outputs)) part[name] = takeRows(output, start, size);
    start += size;
    return part;
  });
}

/** Rows `start` … `start + count` of an array. */
export function takeRows({ dtype, dims, data }: NdArray, start: number, count: number): NdArray {
  const width = sizeOf(dims.slice(1));
  const [from, to] = [start * width, (start + count) * width];
  const taken = [count, ...dims.slice(1)];
  if (dtype === 'string') return { dtype, dims: taken, data: (data as string[]).slice(from, to) };
  return { dtype, dims: taken, data: (data as TypedArray).subarray(from, to) as never };
}
