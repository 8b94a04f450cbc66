import { open, readFile } from 'node:fs/promises';
import { sizeOf, type NdArray } from '../../../../ir/tensor.js';

/** NumPy's names of the types that are handed over. */
const descriptions: Readonly<Record<string, string>> = {
  float32: '<f4',
  float64: '<f8',
  int8: '|i1',
  uint8: '|u1',
  int16: '<i2',
  uint16: '<u2',
  int32: '<i4',
  uint32: '<u4',
  int64: '<i8',
  uint64: '<u8',
  bool: '|b1',
};

/**
 * Writes an array part by part as an NPY file, version 1.0 (numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
 * Texts become fixed-width unicode, which numpy reads without pickle.
 * @param parts Rows of the array, in order; gone through twice for texts.
 */
export async function writeNpy(
  path: string,
  { dtype, dims }: Pick<NdArray, 'dtype' | 'dims'>,
  parts: () => Iterable<NdArray> | AsyncIterable<NdArray>,
): Promise<void> {
  let width = 1;
  if (dtype === 'string') {
    for await (const { data } of parts()) {
      for (const text of data as string[]) width = Math.max(width, codePointsOf(text).length);
    }
  }
  const type = dtype === 'string' ? `<U${width}` : descriptions[dtype];
  if (type === undefined) throw new TypeError(`${dtype} has no form in NumPy`);
  const shape = `(${dims.join(', ')}${dims.length === 1 ? ',' : ''})`;
  const words = `{'descr': '${type}', 'fortran_order': False, 'shape': ${shape}, }`;
  // Magic, version and the length of the words take 10 bytes; the data begins at a multiple of 64.
  const text = `${words.padEnd(Math.ceil((words.length + 11) / 64) * 64 - 11)}\n`;
  const head = Buffer.alloc(10 + text.length);
  head.write('\x93NUMPY\x01\x00', 'latin1');
  head.writeUInt16LE(text.length, 8);
  head.write(text, 10, 'latin1');
  const file = await open(path, 'w');
  try {
    await file.writeFile(head);
    for await (const { data } of parts()) {
      const view = ArrayBuffer.isView(data) ? data : encodeTexts(data, width);
      await file.writeFile(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
    }
  } finally {
    await file.close();
  }
}

function encodeTexts(texts: readonly string[], width: number): Uint32Array {
  const points = new Uint32Array(texts.length * width);
  texts.forEach((text, at) => {
    points.set(codePointsOf(text), at * width);
  });
  return points;
}

function codePointsOf(text: string): number[] {
  return Array.from(text, (letter) => letter.codePointAt(0)!);
}

/**
 * Reads an NPY file of float32 or float64 as float32.
 * @throws Error saying what it is instead.
 */
export async function readNpy(path: string): Promise<NdArray<'float32'>> {
  const bytes = await readFile(path);
  const major = bytes[6] ?? 0;
  if (bytes.toString('latin1', 0, 6) !== '\x93NUMPY' || major < 1 || major > 3)
    throw new Error('it is no NPY file');
  const start = major === 1 ? 10 : 12;
  const end = start + (major === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8));
  const words = bytes.toString('utf8', start, end);
  const type = /'descr': *'([^']*)'/.exec(words)?.[1];
  const dims = (/'shape': *\(([^)]*)\)/.exec(words)?.[1] ?? '')
    .split(',')
    .filter((size) => size.trim() !== '');
  const read = type === '<f4' ? Float32Array : type === '<f8' ? Float64Array : undefined;
  if (!read) throw new Error(`it holds ${type ?? 'nothing known'}, not float32`);
  if (words.includes("'fortran_order': True")) throw new Error('its order is that of Fortran');
  const sizes = dims.map(Number);
  const body = Uint8Array.from(bytes.subarray(end));
  if (body.length !== sizeOf(sizes) * read.BYTES_PER_ELEMENT) throw new Error('it is not whole');
  return { dtype: 'float32', dims: sizes, data: Float32Array.from(new read(body.buffer)) };
}
