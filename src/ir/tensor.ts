/** ONNX element types, by the names that onnxruntime and numpy use. */
export const dtypes = [
  'float32',
  'uint8',
  'int8',
  'uint16',
  'int16',
  'int32',
  'int64',
  'string',
  'bool',
  'float16',
  'float64',
  'uint32',
  'uint64',
  'complex64',
  'complex128',
  'bfloat16',
  'float8e4m3fn',
  'float8e4m3fnuz',
  'float8e5m2',
  'float8e5m2fnuz',
  'uint4',
  'int4',
  'float4e2m1',
  'float8e8m0',
  'uint2',
  'int2',
  'float6e2m3',
  'float6e3m2',
] as const;
export type DType = (typeof dtypes)[number];

/** The typed array that holds a dtype in JavaScript; float16 and bfloat16 are held as their 16 bits. */
export interface TypedArrays {
  float32: Float32Array;
  float64: Float64Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  bool: Uint8Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
}
export type NumericDType = keyof TypedArrays;
export type TypedArray = TypedArrays[NumericDType];

/** Bits of one element; sub-byte types are packed, low bits first. Strings have no fixed size. */
export const bitsOf: Readonly<Record<Exclude<DType, 'string'>, number>> = {
  float32: 32,
  uint8: 8,
  int8: 8,
  uint16: 16,
  int16: 16,
  int32: 32,
  int64: 64,
  bool: 8,
  float16: 16,
  float64: 64,
  uint32: 32,
  uint64: 64,
  complex64: 64,
  complex128: 128,
  bfloat16: 16,
  float8e4m3fn: 8,
  float8e4m3fnuz: 8,
  float8e5m2: 8,
  float8e5m2fnuz: 8,
  uint4: 4,
  int4: 4,
  float4e2m1: 4,
  float8e8m0: 8,
  uint2: 2,
  int2: 2,
  float6e2m3: 6,
  float6e3m2: 6,
};

const arrayTypes = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
} as const;

/** Part of a file: weights in external data stay on disk until somebody asks for them. */
export interface FileRange {
  readonly path: string;
  /** In bytes. */
  readonly offset: number;
  /** In bytes. */
  readonly length: number;
}

/**
 * A constant of a graph. `bytes` is little-endian, row-major, and may be an unaligned view into the file it was
 * loaded from: read numbers through `valuesOf`, which copies only when it must.
 */
export interface Tensor {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: Uint8Array | readonly string[] | FileRange;
}

/** A tensor in the form in which sessions take and return it. `data` is row-major. */
export interface NdArray<D extends NumericDType | 'string' = NumericDType | 'string'> {
  readonly dtype: D;
  readonly dims: readonly number[];
  readonly data: D extends NumericDType ? TypedArrays[D] : string[];
}

export function sizeOf(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

export function isNumeric(dtype: DType): dtype is NumericDType {
  return dtype in arrayTypes;
}

export function isFileRange(data: Tensor['data']): data is FileRange {
  return 'path' in data;
}

/** Makes a constant from numbers (bigint for the 64-bit integer types). */
export function tensor(
  dtype: NumericDType,
  dims: readonly number[],
  values: TypedArray | readonly number[] | readonly bigint[],
): Tensor {
  const array = ArrayBuffer.isView(values) ? values : toTyped(dtype, values);
  if (array.length !== sizeOf(dims)) {
    throw new RangeError(`${array.length} values do not fill [${dims.join(', ')}]`);
  }
  return { dtype, dims, data: new Uint8Array(array.buffer, array.byteOffset, array.byteLength) };
}

export function stringTensor(dims: readonly number[], values: readonly string[]): Tensor {
  return { dtype: 'string', dims, data: values };
}

export function scalar(dtype: NumericDType, value: number): Tensor {
  return tensor(dtype, [], dtype === 'int64' || dtype === 'uint64' ? [BigInt(value)] : [value]);
}

/** An int64 vector: shapes, axes and split sizes are all of this kind in ONNX. */
export function int64s(values: readonly number[]): Tensor {
  return tensor('int64', [values.length], values.map(BigInt));
}

function toTyped(dtype: NumericDType, values: readonly number[] | readonly bigint[]): TypedArray {
  if (dtype === 'int64') return BigInt64Array.from(values, BigInt);
  if (dtype === 'uint64') return BigUint64Array.from(values, BigInt);
  return arrayTypes[dtype].from(values as readonly number[]);
}

/** An uninitialised-to-zero typed array for `dtype`. */
export function allocate<D extends NumericDType>(dtype: D, length: number): TypedArrays[D] {
  return new arrayTypes[dtype](length) as TypedArrays[D];
}

/** Reinterprets little-endian bytes as numbers, without copying when the view is aligned. */
export function viewAs<D extends NumericDType>(dtype: D, bytes: Uint8Array): TypedArrays[D] {
  const type = arrayTypes[dtype];
  // Not `slice`: a Buffer's gives a view.
  const aligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new type(
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    bytes.byteLength / type.BYTES_PER_ELEMENT,
  ) as TypedArrays[D];
}

/**
 * The numbers of an in-memory constant.
 * @throws TypeError for strings, for types JavaScript has no array for, and for data still on disk.
 */
export function valuesOf(constant: Tensor): TypedArray {
  const { dtype, data } = constant;
  if (!isNumeric(dtype) || !(data instanceof Uint8Array)) {
    throw new TypeError(`a ${dtype} constant ${isFileRange(data) ? 'on disk ' : ''}has no numbers in memory`);
  }
  return viewAs(dtype, data);
}

/** The values of an integer or float constant as plain numbers; for shapes, axes and scalars. */
export function numbersOf(constant: Tensor): number[] {
  return Array.from(valuesOf(constant) as ArrayLike<number | bigint>, Number);
}

/** Bytes that a constant takes in a file. */
export function byteLengthOf({ dtype, dims, data }: Tensor): number {
  if (dtype === 'string') {
    return (data as readonly string[]).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  }
  return Math.ceil((sizeOf(dims) * bitsOf[dtype]) / 8);
}

export function toNdArray(constant: Tensor): NdArray {
  if (constant.dtype === 'string') {
    return { dtype: 'string', dims: constant.dims, data: [...(constant.data as readonly string[])] };
  }
  return { dtype: constant.dtype as NumericDType, dims: constant.dims, data: valuesOf(constant) };
}

export function fromNdArray({ dtype, dims, data }: NdArray): Tensor {
  return dtype === 'string' ? stringTensor(dims, data as string[]) : tensor(dtype, dims, data as TypedArray);
}
