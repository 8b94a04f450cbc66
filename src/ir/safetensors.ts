import { crc32 } from 'node:zlib';
import { sizeOf, viewAs, type NdArray, type NumericDType } from './tensor.js';

/** Named tensors and words about them, in the safetensors format (huggingface.co/docs/safetensors). */
export interface Tensors<D extends NumericDType = NumericDType> {
  readonly tensors: Readonly<Record<string, NdArray<D>>>;
  readonly metadata: Readonly<Record<string, string>>;
}

const typeNames: Readonly<Record<NumericDType, string>> = {
  ...{ float64: 'F64', float32: 'F32', float16: 'F16', bfloat16: 'BF16', bool: 'BOOL' },
  ...{ int64: 'I64', int32: 'I32', int16: 'I16', int8: 'I8' },
  ...{ uint64: 'U64', uint32: 'U32', uint16: 'U16', uint8: 'U8' },
};

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** The buffers of a file, in order: the tensors are not copied. */
export function encodeTensors({ tensors, metadata }: Tensors): Uint8Array[] {
  let offset = 0;
  let checksum = 0;
  const parts: Uint8Array[] = [];
  const entries: Record<string, Entry> = {};
  for (const [name, { dtype, dims, data }] of Object.entries(tensors)) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    entries[name] = { dtype: typeNames[dtype], shape: dims, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
    checksum = crc32(bytes, checksum);
    parts.push(bytes);
  }
  const text = JSON.stringify({ __metadata__: { ...metadata, crc32: String(checksum) }, ...entries });
  // Padding brings the data to a multiple of 8 bytes.
  const header = Buffer.from(text + ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return [length, header, ...parts];
}

/** @returns undefined when the bytes are not a whole file of float32 tensors that `encodeTensors` has written. */
export function decodeTensors(bytes: Uint8Array): Tensors<'float32'> | undefined {
  try {
    const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
    const text = Buffer.from(bytes.subarray(8, 8 + length)).toString();
    const { __metadata__: metadata, ...entries } = JSON.parse(text) as Record<string, Entry> & {
      __metadata__: Record<string, string>;
    };
    const data = bytes.subarray(8 + length);
    const whole = Object.values(entries).every(
      ({ dtype, shape, data_offsets: [from, to] }) => dtype === 'F32' && to - from === 4 * sizeOf(shape),
    );
    if (!whole || String(crc32(data)) !== metadata['crc32']) return undefined;
    const tensors = Object.entries(entries).map(
      ([
        name,
        {
          shape,
          data_offsets: [from, to],
        },
      ]) => {
        const values = viewAs('float32', data.subarray(from, to));
        return [name, { dtype: 'float32' as const, dims: shape, data: values }] as const;
      },
    );
    return { tensors: Object.fromEntries(tensors), metadata };
  } catch {
    return undefined;
  }
}
