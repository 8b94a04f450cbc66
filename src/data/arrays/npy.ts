import type { TypedArray } from '../../ir/tensor.js';
import { badArray, elementBytes, toElements, type FileArray } from './array-file.js';

/**
 * Reads an array as `numpy.save` writes it (NEP 1, versions 1 to 3). Numbers, booleans and texts of fixed length.
 * @param name What messages call it.
 * @throws MaasError MAAS_DATA_SYNTAX.
 */
export function parseNpy(bytes: Buffer, path: string, name: string): FileArray {
  if (bytes.length < 10 || bytes.toString('latin1', 0, 6) !== '\x93NUMPY')
    throw badArray(path, `${name} is no NPY file: it does not begin with \\x93NUMPY`);
  const long = bytes[6]! > 1;
  const from = long ? 12 : 10;
  const start = from + (long ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8));
  const header = bytes.toString('utf8', from, start);
  const descr = /'descr': *'([<>|=]?)([a-zA-Z])(\d*)'/.exec(header);
  const shape = /'shape': *\(([\d, L]*)\)/.exec(header)?.[1];
  if (!descr || shape === undefined) {
    throw badArray(
      path,
      `${name} holds no plain array (${header.trim().slice(0, 80)})`,
      'Save an array of numbers, or of texts with a fixed length, not of objects or records.',
    );
  }
  const dims = shape.split(',').flatMap((size) => (size.trim() === '' ? [] : [Number.parseInt(size, 10)]));
  const [, order, kind, digits] = descr as unknown as [string, string, string, string];
  const count = dims.reduce((product, size) => product * size, 1);
  const isText = kind === 'U' || kind === 'S';
  const size = isText ? Number(digits) * (kind === 'U' ? 4 : 1) : elementBytes(`${kind}${digits}`);
  if (size === undefined) {
    throw badArray(
      path,
      `${name} has elements of type ${kind}${digits}`,
      'Save it as float32: x.astype("float32").',
    );
  }
  if (bytes.length - start !== count * size) {
    throw badArray(
      path,
      `${name} has ${bytes.length - start} bytes from offset ${start} on, [${dims.join(', ')}] of ${kind}${digits} takes ${count * size}`,
    );
  }
  const body = bytes.subarray(start);
  const isBig = order === '>';
  const data = isText
    ? toTexts(body, kind, Number(digits), count, isBig)
    : toElements(`${kind}${digits}`, body, isBig);
  return { dims, data: header.includes("'fortran_order': True") ? transpose(data, dims) : data };
}

function toTexts(bytes: Buffer, kind: string, length: number, count: number, isBig: boolean): string[] {
  return Array.from({ length: count }, (_, index) => {
    if (kind === 'S')
      return bytes.toString('latin1', index * length, (index + 1) * length).replace(/\0+$/, '');
    const points = Array.from({ length }, (__, at) => {
      const offset = 4 * (index * length + at);
      return isBig ? bytes.readUInt32BE(offset) : bytes.readUInt32LE(offset);
    });
    return String.fromCodePoint(...points).replace(/\0+$/, '');
  });
}

/** From the order of columns to that of rows. */
function transpose<Data extends TypedArray | readonly string[]>(data: Data, dims: readonly number[]): Data {
  const from = data as unknown as number[];
  const to = (Array.isArray(data) ? [...data] : (data as TypedArray).slice()) as unknown as number[];
  const position = dims.map(() => 0);
  for (let at = 0; at < from.length; at++) {
    let [source, step] = [0, 1];
    for (const [axis, size] of dims.entries()) {
      source += position[axis]! * step;
      step *= size;
    }
    to[at] = from[source]!;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      position[axis]! += 1;
      if (position[axis]! < dims[axis]!) break;
      position[axis] = 0;
    }
  }
  return to as unknown as Data;
}
