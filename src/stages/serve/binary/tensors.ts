import { isUtf8 } from 'node:buffer';
import {
  bitsOf,
  isNumeric,
  sizeOf,
  viewAs,
  type DType,
  type NdArray,
  type TypedArray,
} from '../../../ir/tensor.js';
import { RequestError } from '../request-error.js';

// The binary tensor data extension of the Open Inference Protocol: numbers little-endian and row-major without gaps, a
// boolean one byte, a string its length as uint32 and then its UTF-8 bytes.
// https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/extension_binary_data.md

/**
 * Reads a tensor from exactly these bytes; numbers are a view where the bytes are aligned for it.
 * @throws RequestError 400 when the bytes do not fill the shape, or are no such values.
 */
export function decodeBinary(
  name: string,
  dtype: DType,
  dims: readonly number[],
  bytes: Uint8Array,
): NdArray {
  if (dtype === 'string') return { dtype, dims, data: readStrings(name, sizeOf(dims), bytes) };
  if (!isNumeric(dtype)) throw new RequestError(400, `input ${name}: ${dtype} has no binary form`);
  const wanted = (sizeOf(dims) * bitsOf[dtype]) / 8;
  if (bytes.length !== wanted) {
    throw new RequestError(
      400,
      `input ${name}: ${bytes.length} bytes do not fill [${dims.join(', ')}], which takes ${wanted}`,
    );
  }
  const data = viewAs(dtype, bytes);
  if (dtype === 'bool') {
    const bad = (data as Uint8Array).findIndex((value) => value > 1);
    if (bad >= 0) throw new RequestError(400, `input ${name}: element ${bad} must be 0 or 1 for a BOOL`);
  }
  return { dtype, dims, data };
}

export function encodeBinary({ dtype, data }: NdArray): Uint8Array {
  if (dtype !== 'string') {
    const { buffer, byteOffset, byteLength } = data as TypedArray;
    return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
  }
  const texts = (data as string[]).map((text) => Buffer.from(text));
  const bytes = Buffer.alloc(texts.reduce((sum, text) => sum + 4 + text.length, 0));
  let offset = 0;
  for (const text of texts) {
    offset = bytes.writeUInt32LE(text.length, offset);
    offset += text.copy(bytes, offset);
  }
  return bytes;
}

function readStrings(name: string, count: number, bytes: Uint8Array): string[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const texts: string[] = [];
  let offset = 0;
  while (offset < buffer.length) {
    const start = offset + 4;
    const end = start <= buffer.length ? start + buffer.readUInt32LE(offset) : Infinity;
    if (end > buffer.length) {
      throw new RequestError(400, `input ${name}: element ${texts.length} reaches past the end of the data`);
    }
    const text = buffer.subarray(start, end);
    if (!isUtf8(text)) throw new RequestError(400, `input ${name}: element ${texts.length} is not UTF-8`);
    texts.push(text.toString('utf8'));
    offset = end;
  }
  if (texts.length === count) return texts;
  throw new RequestError(400, `input ${name}: ${texts.length} strings do not fill its shape of ${count}`);
}
