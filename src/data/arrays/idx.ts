import { badArray, elementBytes, toElements, type FileArray } from './array-file.js';

const elements: Readonly<Record<number, string>> = {
  0x08: 'u1',
  0x09: 'i1',
  0x0b: 'i2',
  0x0c: 'i4',
  0x0d: 'f4',
  0x0e: 'f8',
};

/**
 * Reads an array in the format of MNIST: two zero bytes, a type, the number of axes, their sizes, the elements, all with
 * the big end first.
 * @throws MaasError MAAS_DATA_SYNTAX.
 */
export function parseIdx(bytes: Buffer, path: string): FileArray {
  const type = bytes.length >= 4 && bytes.readUInt16BE(0) === 0 ? elements[bytes[2]!] : undefined;
  const axes = bytes[3] ?? 0;
  const start = 4 + 4 * axes;
  if (type === undefined || axes === 0 || bytes.length < start) {
    throw badArray(
      path,
      `the file is no IDX file: it begins with ${bytes.toString('hex', 0, 4) || 'nothing'}`,
    );
  }
  const dims = Array.from({ length: axes }, (_, axis) => bytes.readUInt32BE(4 + 4 * axis));
  const wanted = dims.reduce((product, size) => product * size, elementBytes(type)!);
  if (bytes.length - start !== wanted) {
    throw badArray(
      path,
      `the file has ${bytes.length - start} bytes from offset ${start} on, [${dims.join(', ')}] takes ${wanted}`,
    );
  }
  return { dims, data: toElements(type, bytes.subarray(start), true) };
}
