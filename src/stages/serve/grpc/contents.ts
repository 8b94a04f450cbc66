import { isUtf8 } from 'node:buffer';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { DType, NdArray } from '../../../ir/tensor.js';
import { datatypeOf, decodeTensor } from '../json/tensors.js';
import { RequestError } from '../request-error.js';
import type { InferTensorContents, InferTensorContentsSchema } from './inference.generated.js';

/** The field of a tensor's contents that holds values of a type. Half floats have none: they come raw. */
const fields: Partial<Record<DType, Exclude<keyof InferTensorContents, `$${string}`>>> = {
  bool: 'boolContents',
  int8: 'intContents',
  int16: 'intContents',
  int32: 'intContents',
  int64: 'int64Contents',
  uint8: 'uintContents',
  uint16: 'uintContents',
  uint32: 'uintContents',
  uint64: 'uint64Contents',
  float32: 'fp32Contents',
  float64: 'fp64Contents',
  string: 'bytesContents',
};

/** @throws RequestError 400 naming the tensor, and the element. */
export function readContents(
  name: string,
  dtype: DType,
  dims: readonly number[],
  contents: InferTensorContents | undefined,
): NdArray {
  const field = fields[dtype];
  if (field === undefined) {
    throw new RequestError(400, `input ${name}: ${datatypeOf(dtype)} goes into raw_input_contents`);
  }
  const values: readonly unknown[] = contents?.[field] ?? [];
  if (field === 'fp32Contents' || field === 'fp64Contents') {
    // Unlike in JSON, there are numbers that are none.
    const data =
      dtype === 'float32' ? Float32Array.from(values as number[]) : Float64Array.from(values as number[]);
    return { dtype, dims, data } as NdArray;
  }
  return decodeTensor(
    name,
    dtype,
    dims,
    field === 'bytesContents' ? readTexts(name, values as Uint8Array[]) : values,
  );
}

function readTexts(name: string, values: readonly Uint8Array[]): string[] {
  return values.map((bytes, index) => {
    if (!isUtf8(bytes)) throw new RequestError(400, `input ${name}: element ${index} is not UTF-8`);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  });
}

/** Undefined for types that only raw contents can hold. */
export function writeContents({
  dtype,
  data,
}: NdArray): MessageInitShape<typeof InferTensorContentsSchema> | undefined {
  const field = fields[dtype];
  if (field === undefined) return undefined;
  if (dtype === 'string') return { bytesContents: (data as string[]).map((text) => Buffer.from(text)) };
  if (dtype === 'bool') return { boolContents: Array.from(data as Uint8Array, Boolean) };
  return { [field]: Array.from(data as ArrayLike<number>) };
}
