import { isUtf8 } from 'node:buffer';
import { create } from '@bufbuild/protobuf';
import {
  bitsOf,
  byteLengthOf,
  dtypes,
  isFileRange,
  sizeOf,
  type DType,
  type NumericDType,
  type Tensor,
  tensor,
} from '../tensor.js';
import { locate, readRangeNow, type ExternalEntry } from './external.js';
import {
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
  type TensorProto,
} from './onnx.generated.js';
import { invalid, type Source } from './source.js';

/** Fields of a TensorProto that a Tensor and its name hold; the rest is kept as bytes. */
export const tensorFields = [
  'dims',
  'dataType',
  'floatData',
  'int32Data',
  'stringData',
  'int64Data',
  'rawData',
  'externalData',
  'dataLocation',
  'doubleData',
  'uint64Data',
];

/** The dtype of an element-type number, or undefined for 0 (not stated). */
export function dtypeOf(code: number, source: Source): DType | undefined {
  if (code === 0) return undefined;
  const dtype = dtypes[code - 1];
  if (!dtype) throw invalid(source, `element type ${code} is not one of ONNX`);
  return dtype;
}

export function codeOf(dtype: DType): number {
  return dtypes.indexOf(dtype) + 1;
}

/**
 * Reads a constant. Raw bytes stay a view into the file. External data becomes a FileRange when `lazy`.
 * @throws MaasError MAAS_MODEL_INVALID when the bytes do not fill the shape.
 */
export function decodeTensor(proto: TensorProto, source: Source, lazy: boolean): Tensor {
  const where = `tensor ${proto.name || '(unnamed)'}`;
  const dtype = dtypeOf(proto.dataType, source);
  if (!dtype) throw invalid(source, `${where} has no element type`);
  if (proto.segment) throw invalid(source, `${where} is stored in segments, which no ONNX runtime reads`);
  const dims = proto.dims.map(Number);
  if (!dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
    throw invalid(source, `${where} has the shape [${dims.join(', ')}]`);
  }
  if (dtype === 'string') {
    if (!proto.stringData.every((text) => isUtf8(text))) {
      throw invalid(source, `${where} holds text that is not UTF-8`);
    }
    const texts = proto.stringData.map((text) => Buffer.from(text).toString('utf8'));
    if (texts.length !== sizeOf(dims)) throw fills(source, where, texts.length, 'strings', dims);
    return { dtype, dims, data: texts };
  }
  const length = byteLengthOf({ dtype, dims, data: new Uint8Array() });
  if (proto.dataLocation === TensorProto_DataLocation.EXTERNAL) {
    const entries: Partial<ExternalEntry> = Object.fromEntries(
      proto.externalData.map(({ key, value }) => [key, value]),
    );
    const range = locate(entries, length, where, source);
    return { dtype, dims, data: lazy ? range : readRangeNow(range, source) };
  }
  const data = proto.rawData.length > 0 ? proto.rawData : legacyBytes(proto, dtype, sizeOf(dims));
  if (data.length !== length) throw fills(source, where, data.length, 'bytes', dims);
  return { dtype, dims, data };
}

function fills(source: Source, where: string, count: number, unit: string, dims: readonly number[]): Error {
  return invalid(source, `${where}: ${count} ${unit} do not fill [${dims.join(', ')}]`);
}

/** Numbers from the typed fields that old exporters write, as raw bytes. */
function legacyBytes(proto: TensorProto, dtype: Exclude<DType, 'string'>, size: number): Uint8Array {
  const pack = (type: NumericDType, values: readonly number[] | readonly bigint[]) =>
    tensor(type, [values.length], values).data as Uint8Array;
  if (proto.floatData.length > 0) return pack('float32', proto.floatData);
  if (proto.doubleData.length > 0) return pack('float64', proto.doubleData);
  if (proto.int64Data.length > 0) return pack('int64', proto.int64Data);
  if (proto.uint64Data.length > 0) {
    return dtype === 'uint32'
      ? pack('uint32', proto.uint64Data.map(Number))
      : pack('uint64', proto.uint64Data);
  }
  const bits = bitsOf[dtype];
  if (bits === 6) return packSixBits(proto.int32Data, size);
  // Sub-byte types hold a whole byte per entry; floats of 8 and 16 bits hold their bit patterns.
  return pack(bits <= 8 ? 'uint8' : bits === 16 ? 'uint16' : 'int32', proto.int32Data);
}

/** 6-bit values, one per entry, as a bit stream with low bits first. */
function packSixBits(values: readonly number[], size: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil((size * 6) / 8));
  values.forEach((value, index) => {
    const bit = index * 6;
    const shifted = (value & 0x3f) << (bit % 8);
    bytes[bit >> 3]! |= shifted;
    if (shifted > 0xff) bytes[(bit >> 3) + 1]! |= shifted >> 8;
  });
  return bytes;
}

/** Everything of a TensorProto but the raw bytes, which the writer adds without copying them. */
export function encodeHeader(
  constant: Tensor,
  name: string,
  leftover: TensorProto | undefined,
  external?: ExternalEntry,
): TensorProto {
  const proto = leftover ?? create(TensorProtoSchema);
  if (name !== '') proto.name = name;
  proto.dims = constant.dims.map(BigInt);
  proto.dataType = codeOf(constant.dtype);
  if (constant.dtype === 'string') {
    proto.stringData = (constant.data as readonly string[]).map((text) => Buffer.from(text, 'utf8'));
  }
  if (external) {
    proto.dataLocation = TensorProto_DataLocation.EXTERNAL;
    proto.externalData = Object.entries<string>({ ...external }).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    );
  }
  return proto;
}

/** A whole TensorProto, for constants inside attributes. */
export function encodeTensor(constant: Tensor, name: string, leftover?: TensorProto): TensorProto {
  const proto = encodeHeader(constant, name, leftover);
  if (isFileRange(constant.data))
    throw new TypeError('a constant inside an attribute cannot be external data');
  if (constant.data instanceof Uint8Array) proto.rawData = constant.data;
  return proto;
}
