import type { TypedArray } from '../../ir/tensor.js';
import { MaasError } from '../../errors.js';

/** An array as a file holds it, row-major. */
export interface FileArray {
  readonly dims: readonly number[];
  /** Texts only in arrays of texts. */
  readonly data: TypedArray | readonly string[];
}

const types: Readonly<
  Record<string, { readonly bytes: number; readonly make: (buffer: ArrayBuffer) => TypedArray }>
> = {
  f4: { bytes: 4, make: (buffer) => new Float32Array(buffer) },
  f8: { bytes: 8, make: (buffer) => new Float64Array(buffer) },
  i1: { bytes: 1, make: (buffer) => new Int8Array(buffer) },
  i2: { bytes: 2, make: (buffer) => new Int16Array(buffer) },
  i4: { bytes: 4, make: (buffer) => new Int32Array(buffer) },
  i8: { bytes: 8, make: (buffer) => new BigInt64Array(buffer) },
  u1: { bytes: 1, make: (buffer) => new Uint8Array(buffer) },
  u2: { bytes: 2, make: (buffer) => new Uint16Array(buffer) },
  u4: { bytes: 4, make: (buffer) => new Uint32Array(buffer) },
  u8: { bytes: 8, make: (buffer) => new BigUint64Array(buffer) },
  b1: { bytes: 1, make: (buffer) => new Uint8Array(buffer) },
};

/** Bytes of an element, or undefined for a type that there is no array for. */
export function elementBytes(type: string): number | undefined {
  return types[type]?.bytes;
}

/** The elements in the bytes. @param isBig Whether they are written with the big end first. */
export function toElements(type: string, bytes: Buffer, isBig: boolean): TypedArray {
  const { bytes: size, make } = types[type]!;
  // A copy: the bytes may lie at any place, and are turned around.
  const own = Buffer.from(new Uint8Array(bytes).buffer);
  if (isBig && size === 2) own.swap16();
  if (isBig && size === 4) own.swap32();
  if (isBig && size === 8) own.swap64();
  return make(own.buffer);
}

export function badArray(path: string, message: string, hint?: string): MaasError {
  return new MaasError('MAAS_DATA_SYNTAX', message, {
    place: { file: path },
    hint: hint ?? 'Check that the file is whole, for instance by writing it again.',
  });
}
