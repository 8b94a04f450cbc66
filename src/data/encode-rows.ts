import { allocate, isNumeric, type NdArray, type TypedArray } from '../ir/tensor.js';
import type { Feature, Port, Signature } from './signature.js';
import { BadImage } from './images/bad-image.js';
import { didYouMean } from '../suggest.js';

/** What is wrong with one field of one row. */
export interface FieldError {
  /** Index into the rows given, from 0. */
  readonly row: number;
  readonly field: string | undefined;
  /** A whole sentence that names row and field. */
  readonly message: string;
}

export type EncodedRows =
  | { readonly ok: true; readonly rows: number; readonly inputs: Readonly<Record<string, NdArray>> }
  | { readonly ok: false; readonly errors: readonly FieldError[] };

/** A caller with a thousand bad rows learns as much from the first few. */
const maxErrors = 20;

/**
 * Turns raw feature objects into the model's inputs, [rows, …] each, the way training did. A category the model has
 * not seen is no error: the graph gives it no weight. A feature that training saw missing may be null or left out. Images
 * are pixels here, as images/read-fields.ts makes them.
 */
export function encodeRows(signature: Signature, rows: readonly unknown[]): EncodedRows {
  const inputs = Object.fromEntries(
    signature.inputs.map((port) => [port.name, emptyInput(port, rows.length)]),
  );
  const known = signature.features.map((feature) => feature.name);
  const errors: FieldError[] = [];
  for (const [index, row] of rows.entries()) {
    if (errors.length >= maxErrors) break;
    const report = (message: string, field?: string): void => {
      if (errors.length < maxErrors) errors.push({ row: index, field, message: `row ${index}: ${message}` });
    };
    if (typeof row !== 'object' || row === null || Array.isArray(row)) {
      report(`expected an object with the fields ${known.join(', ')}; found ${describe(row)}`);
      continue;
    }
    for (const field of Object.keys(row)) {
      if (errors.length >= maxErrors) break;
      if (known.includes(field)) continue;
      const hint = didYouMean(field, known) ?? `Known fields: ${known.join(', ')}.`;
      report(`unknown field "${field}". ${hint}`, field);
    }
    for (const feature of signature.features) {
      const value: unknown = Object.hasOwn(row, feature.name)
        ? row[feature.name as keyof typeof row]
        : undefined;
      const problem =
        value === undefined && !feature.missing
          ? 'is missing'
          : put(inputs[feature.input]!, index, feature, value);
      if (problem !== undefined) report(`field "${feature.name}" ${problem}`, feature.name);
    }
  }
  return errors.length > 0 ? { ok: false, errors } : { ok: true, rows: rows.length, inputs };
}

function emptyInput({ name, dtype, shape }: Port, rows: number): NdArray {
  const dims = [rows, ...shape.slice(1).map(Number)];
  const size = dims.reduce((product, dim) => product * dim, 1);
  if (!Number.isInteger(size)) throw new TypeError(`input "${name}" of the model has no fixed row size`);
  if (dtype === 'string') return { dtype, dims, data: new Array<string>(size).fill('') };
  if (!isNumeric(dtype))
    throw new TypeError(`input "${name}" of the model has type ${dtype}, which no row can fill`);
  return { dtype, dims, data: allocate(dtype, size) };
}

/** Writes one value in its place; returns what is wrong with it, if anything. */
function put(input: NdArray, row: number, feature: Feature, value: unknown): string | undefined {
  const at = row * (input.data.length / input.dims[0]!) + feature.column;
  if (feature.missing && isMissing(feature.missing.written, value)) {
    if (input.dtype === 'string') (input.data as string[])[at] = '';
    else (input.data as Float32Array)[at] = NaN;
    return undefined;
  }
  if (feature.type === 'array') return putArray(input.data as TypedArray, at, feature, value);
  if (feature.type === 'image') return putPixels(input.data as TypedArray, at, value);
  if (feature.type === 'text' && typeof value !== 'string') return `must be text, found ${describe(value)}`;
  if (feature.type !== 'number') {
    const text = categoryOf(feature, value);
    if (text === undefined) return `must be text, found ${describe(value)}`;
    (input.data as string[])[at] = text;
    return undefined;
  }
  if (typeof value !== 'number') return `must be a number, found ${describe(value)}`;
  if (!Number.isFinite(value)) return `must be a finite number, found ${value}`;
  if (input.dtype === 'float32' && !Number.isFinite(Math.fround(value))) return `is too large: ${value}`;
  const data = input.data as TypedArray;
  data[at] =
    data instanceof BigInt64Array || data instanceof BigUint64Array ? BigInt(Math.round(value)) : value;
  return undefined;
}

/** Nothing, and what the training data wrote for it, be it a word or a number such as -999. */
function isMissing(written: readonly string[], value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return (typeof value === 'string' || typeof value === 'number') && written.includes(String(value));
}

/** Numbers and booleans stand for a category only where training saw them written so (a passenger class: 1, 2, 3). */
function categoryOf(feature: Feature, value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  const text = typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined;
  return text !== undefined && feature.categories?.includes(text) ? text : undefined;
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  const text = JSON.stringify(value) ?? typeof value;
  return `the ${typeof value} ${text.length > 40 ? `${text.slice(0, 40)}…` : text}`;
}

export function isId(value: number, ids: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < ids;
}

/** Writes the pixels of an image; returns what is wrong with it, if anything. */
function putPixels(data: TypedArray, at: number, value: unknown): string | undefined {
  if (value instanceof BadImage) return value.message;
  if (!(value instanceof Uint8Array)) return `must be an image file in base64, found ${describe(value)}`;
  (data as Uint8Array).set(value, at);
  return undefined;
}

/** Writes nested lists one element after the other; returns what is wrong with them, if anything. */
function putArray(
  data: TypedArray,
  at: number,
  { shape = [], ids }: Feature,
  value: unknown,
): string | undefined {
  let next = at;
  const visit = (part: unknown, axis: number): string | undefined => {
    if (axis === shape.length) {
      if (typeof part !== 'number') return `must hold numbers, found ${describe(part)}`;
      if (!Number.isFinite(Math.fround(part))) return `holds a number that is too large: ${part}`;
      if (ids !== undefined && !isId(part, ids))
        return `must hold ids, whole numbers from 0 to ${ids - 1}, found ${part}`;
      data[next++] = data instanceof BigInt64Array || data instanceof BigUint64Array ? BigInt(part) : part;
      return undefined;
    }
    if (!Array.isArray(part) || part.length !== shape[axis]) {
      const found = Array.isArray(part) ? `a list of ${part.length}` : describe(part);
      return `must be nested lists of shape [${shape.join(', ')}], found ${found} at depth ${axis + 1}`;
    }
    for (const each of part) {
      const problem = visit(each, axis + 1);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
  return visit(value, 0);
}
