import { sizeOf } from '../tensor.js';
import type { DataType } from './tf.js';

/** Elements of a constant, row-major. */
export type Values = Float32Array | Int32Array | Uint8Array;

const arrays = { float32: Float32Array, int32: Int32Array, bool: Uint8Array } as const;

/** A list of elements of this type. */
export function allocate(dtype: DataType, length: number): Values {
  return new arrays[dtype](length);
}

export function convert(values: Values, dtype: DataType): Values {
  if (dtype === 'bool') return Uint8Array.from(values, (value) => (value === 0 ? 0 : 1));
  return arrays[dtype].from(values as Float32Array);
}

/** Steps from one element to the next along each axis. */
function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}

/** Elements at `start`, and from there by `strides` along each axis of `shape`. */
function gather(
  values: Values,
  dtype: DataType,
  shape: readonly number[],
  strides: readonly number[],
  start = 0,
) {
  const out = allocate(dtype, sizeOf(shape));
  const place = shape.map(() => 0);
  let from = start;
  for (let at = 0; at < out.length; at++) {
    out[at] = values[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++place[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      place[axis] = 0;
    }
  }
  return out;
}

/** Axis i of the result is axis `order[i]`. */
export function turn(
  values: Values,
  dtype: DataType,
  shape: readonly number[],
  order: readonly number[],
): Values {
  const strides = stridesOf(shape);
  return gather(
    values,
    dtype,
    order.map((axis) => shape[axis]!),
    order.map((axis) => strides[axis]!),
  );
}

/** The part of `size` from `begin` on. */
export function cut(
  values: Values,
  dtype: DataType,
  shape: readonly number[],
  begin: readonly number[],
  size: readonly number[],
): Values {
  const strides = stridesOf(shape);
  const start = begin.reduce((sum, at, axis) => sum + at * strides[axis]!, 0);
  return gather(values, dtype, size, strides, start);
}

/** The elements at these places. */
export function pick(values: Values, dtype: DataType, at: Values): Values {
  return allocate(dtype, at.length).map((_, index) => values[at[index]!]!);
}

/** Repeats along axes of size 1, and along new ones in front, up to `to`. */
export function spread(
  values: Values,
  dtype: DataType,
  shape: readonly number[],
  to: readonly number[],
): Values {
  const strides = stridesOf(shape);
  const missing = to.length - shape.length;
  return gather(
    values,
    dtype,
    to,
    to.map((_, axis) => (axis < missing || shape[axis - missing] === 1 ? 0 : strides[axis - missing]!)),
  );
}

/** Functions of one number that are worth computing once: those of weights. */
export const unary: Readonly<Record<string, (x: number) => number>> = {
  Neg: (x) => -x,
  Reciprocal: (x) => 1 / x,
  Rsqrt: (x) => 1 / Math.sqrt(x),
  Sqrt: Math.sqrt,
  Square: (x) => x * x,
};

export const binary: Readonly<Record<string, (a: number, b: number) => number>> = {
  AddV2: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  RealDiv: (a, b) => a / b,
};
