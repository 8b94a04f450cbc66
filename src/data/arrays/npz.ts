import { inflateRawSync } from 'node:zlib';
import { badArray, type FileArray } from './array-file.js';
import { parseNpy } from './npy.js';

const [endMark, entryMark] = [0x06054b50, 0x02014b50];
const large = 0xffffffff;

/**
 * Reads the arrays of a file as `numpy.savez` and `savez_compressed` write it: a ZIP archive of NPY files.
 * @throws MaasError MAAS_DATA_SYNTAX.
 */
export function parseNpz(bytes: Buffer, path: string): Map<string, FileArray> {
  const arrays = new Map<string, FileArray>();
  try {
    for (const { name, packed, method } of entriesOf(bytes, path)) {
      if (!name.endsWith('.npy')) continue;
      if (method !== 0 && method !== 8)
        throw badArray(path, `${name} is packed in an unknown way (${method})`);
      const content = method === 0 ? packed : inflateRawSync(packed);
      arrays.set(name.slice(0, -4), parseNpy(content, path, name.slice(0, -4)));
    }
  } catch (error) {
    if (error instanceof RangeError || (error as NodeJS.ErrnoException).code?.startsWith('Z_'))
      throw badArray(path, 'the archive is damaged');
    throw error;
  }
  if (arrays.size === 0) throw badArray(path, 'there is no array in the file');
  return arrays;
}

/** By the directory at the end of the archive; with ZIP64's field where an entry is that large. */
function entriesOf(bytes: Buffer, path: string): { name: string; packed: Buffer; method: number }[] {
  let end = bytes.length - 22;
  const least = Math.max(0, end - 0xffff);
  while (end >= least && bytes.readUInt32LE(end) !== endMark) end -= 1;
  if (end < least) throw badArray(path, 'the file is no NPZ file, or ends early');
  const count = bytes.readUInt16LE(end + 10);
  let at = bytes.readUInt32LE(end + 16);
  return Array.from({ length: count }, () => {
    if (bytes.readUInt32LE(at) !== entryMark) throw badArray(path, 'the archive is damaged');
    const [nameLength, extraLength] = [bytes.readUInt16LE(at + 28), bytes.readUInt16LE(at + 30)];
    const name = bytes.toString('utf8', at + 46, at + 46 + nameLength);
    const extra = bytes.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength);
    const sizes = [24, 20, 42].map((field) => bytes.readUInt32LE(at + field));
    const [, size, offset] = widen(sizes, extra) as [number, number, number];
    const method = bytes.readUInt16LE(at + 10);
    at += 46 + nameLength + extraLength + bytes.readUInt16LE(at + 32);
    const start = offset + 30 + bytes.readUInt16LE(offset + 26) + bytes.readUInt16LE(offset + 28);
    if (start + size > bytes.length) throw badArray(path, `${name} ends early`);
    return { name, packed: bytes.subarray(start, start + size), method };
  });
}

/** Size, packed size and offset: those that do not fit into 32 bits stand in the extra field, in this order. */
function widen(sizes: readonly number[], extra: Buffer): number[] {
  let field = 0;
  while (field + 4 <= extra.length && extra.readUInt16LE(field) !== 1)
    field += 4 + extra.readUInt16LE(field + 2);
  let at = field + 4;
  return sizes.map((size) => {
    if (size !== large) return size;
    at += 8;
    return Number(extra.readBigUInt64LE(at - 8));
  });
}
