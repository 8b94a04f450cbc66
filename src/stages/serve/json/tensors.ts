import { fromHalf, largestHalf, toHalves } from '../../../ir/half.js';
import {
  allocate,
  isNumeric,
  sizeOf,
  type DType,
  type NdArray,
  type NumericDType,
} from '../../../ir/tensor.js';
import { RequestError } from '../request-error.js';
import { quote } from './body.js';
import type { ScannedList } from './scan.js';

/** Names that the Open Inference Protocol gives to the element types. */
const names: Partial<Record<DType, string>> = {
  bool: 'BOOL',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  float16: 'FP16',
  bfloat16: 'BF16',
  float32: 'FP32',
  float64: 'FP64',
  string: 'BYTES',
};

/** The protocol's name of an element type; types that it has no name for keep ours. */
export function datatypeOf(dtype: DType): string {
  return names[dtype] ?? dtype.toUpperCase();
}

/** Smallest and largest value of the integer types. */
const ranges: Partial<Record<NumericDType, readonly [bigint, bigint]>> = {
  uint8: [0n, 0xffn],
  uint16: [0n, 0xffffn],
  uint32: [0n, 0xffff_ffffn],
  uint64: [0n, 0xffff_ffff_ffff_ffffn],
  int8: [-0x80n, 0x7fn],
  int16: [-0x8000n, 0x7fffn],
  int32: [-0x8000_0000n, 0x7fff_ffffn],
  int64: [-0x8000_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn],
};

/**
 * Reads a tensor's data from parsed JSON: flat, or nested as its shape says, row-major.
 * @throws RequestError 400 naming the tensor and the element.
 */
export function decodeTensor(name: string, dtype: DType, dims: readonly number[], data: unknown): NdArray {
  if (!Array.isArray(data)) throw new RequestError(400, `input ${name}: data must be a list`);
  const flat = flatten(name, dims, data);
  if (dtype === 'string') return { dtype, dims, data: readStrings(name, flat) };
  if (dtype === 'float16') return { dtype, dims, data: readHalves(name, flat) };
  if (!isNumeric(dtype) || dtype === 'bfloat16') {
    throw new RequestError(400, `input ${name}: ${datatypeOf(dtype)} has no JSON form`);
  }
  if (dtype === 'bool') return { dtype, dims, data: readBooleans(name, flat) };
  if (dtype === 'float32' || dtype === 'float64') return { dtype, dims, data: readFloats(name, dtype, flat) };
  return { dtype, dims, data: readIntegers(name, dtype, flat) };
}

/** What `decodeTensor` gives for a list that was scanned. @throws RequestError 400 as it does */
export function takeScanned(
  name: string,
  dtype: DType,
  dims: readonly number[],
  { values, finite, parse }: ScannedList,
): NdArray {
  if (values.length === sizeOf(dims)) {
    if (dtype === 'float32') {
      if (values instanceof Float32Array && finite) return { dtype, dims, data: values };
      const data = Float32Array.from(values);
      if (data.every(Number.isFinite)) return { dtype, dims, data };
    } else if (dtype === 'int64' && values instanceof Float64Array && values.every(Number.isSafeInteger)) {
      return { dtype, dims, data: BigInt64Array.from(values, BigInt) };
    }
  }
  return decodeTensor(name, dtype, dims, parse());
}

/** Numbers beyond what JSON holds (NaN, infinities) are printed as null; integers of any size in full. */
export function encodeData({ dtype, data }: NdArray): string {
  switch (dtype) {
    case 'string':
      return JSON.stringify(data);
    case 'bool':
      return JSON.stringify(Array.from(data as Uint8Array, Boolean));
    case 'int64':
    case 'uint64':
      return `[${(data as BigInt64Array).join(',')}]`;
    case 'float16':
      return JSON.stringify(Array.from(data as Uint16Array, fromHalf));
    case 'bfloat16':
      throw new RequestError(
        400,
        `${datatypeOf(dtype)} has no JSON form; leave that output out with outputs`,
      );
    default:
      return JSON.stringify(Array.from(data as Float32Array));
  }
}

function flatten(name: string, dims: readonly number[], data: readonly unknown[]): readonly unknown[] {
  if (!Array.isArray(data[0]) || dims.length < 2) {
    const size = sizeOf(dims);
    if (data.length === size) return data;
    throw new RequestError(400, `input ${name}: ${data.length} values do not fill [${dims.join(', ')}]`);
  }
  const flat: unknown[] = [];
  const walk = (values: unknown, axis: number, path: string): void => {
    if (!Array.isArray(values) || values.length !== dims[axis]) {
      throw new RequestError(400, `input ${name}: data${path} must be a list of ${dims[axis]!}`);
    }
    if (axis < dims.length - 1) {
      for (const [index, value] of values.entries()) walk(value, axis + 1, `${path}[${index}]`);
    } else for (const value of values) flat.push(value);
  };
  walk(data, 0, '');
  return flat;
}

function readStrings(name: string, values: readonly unknown[]): string[] {
  return values.map((value, index) =>
    typeof value === 'string' ? value : refuse(name, index, 'a string', value),
  );
}

function readBooleans(name: string, values: readonly unknown[]): Uint8Array {
  return Uint8Array.from(values, (value, index) => {
    return typeof value === 'boolean' ? Number(value) : refuse(name, index, 'true or false', value);
  });
}

function readFloats(
  name: string,
  dtype: 'float32' | 'float64',
  values: readonly unknown[],
): Float32Array & Float64Array {
  const read = allocate(dtype, values.length);
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (typeof value !== 'number' && typeof value !== 'bigint') refuse(name, index, 'a number', value);
    read[index] = Number(value);
    if (!Number.isFinite(read[index]))
      refuse(name, index, `a number that ${datatypeOf(dtype)} can hold`, value);
  }
  return read as Float32Array & Float64Array;
}

function readHalves(name: string, values: readonly unknown[]): Uint16Array {
  const read = readFloats(name, 'float32', values);
  const halves = toHalves(read);
  const far = halves.findIndex((half) => (half & 0x7c00) === 0x7c00);
  if (far >= 0) refuse(name, far, `a number from -${largestHalf} to ${largestHalf}`, values[far]);
  return halves;
}

function readIntegers<D extends Exclude<NumericDType, 'bool'>>(
  name: string,
  dtype: D,
  values: readonly unknown[],
): NdArray<D>['data'] {
  const [least, most] = ranges[dtype]!;
  const read = allocate(dtype as NumericDType, values.length);
  const isWide = read instanceof BigInt64Array || read instanceof BigUint64Array;
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    const fits =
      (typeof value === 'bigint' || Number.isSafeInteger(value)) &&
      (value as bigint) >= least &&
      (value as bigint) <= most;
    if (!fits) refuse(name, index, `an integer from ${least} to ${most}`, value);
    read[index] = isWide ? BigInt(value as number) : Number(value);
  }
  return read as NdArray<D>['data'];
}

function refuse(name: string, index: number, wanted: string, found: unknown): never {
  const short = typeof found === 'bigint' ? String(found).slice(0, 40) : quote(found);
  throw new RequestError(400, `input ${name}: element ${index} must be ${wanted}, found ${short}`);
}
