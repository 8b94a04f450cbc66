import { allocate, sizeOf, viewAs, type NdArray, type NumericDType } from '../tensor.js';
import { fromHalf } from '../half.js';
import { invalidKeras } from './problems.js';

/** How a weight lies among the bytes. */
export interface WeightSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  /** Stored as whole numbers: value · scale + min. As float16 it has neither. */
  readonly quantization?: { readonly dtype: string; readonly scale?: number; readonly min?: number };
}

/** Weights that share files, one after another. */
export interface WeightGroup {
  readonly paths: readonly string[];
  readonly weights: readonly WeightSpec[];
}

const isFields = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

/** @throws MaasError MAAS_MODEL_INVALID */
export function readManifest(manifest: unknown): WeightGroup[] {
  if (manifest === undefined || manifest === null) return [];
  if (!Array.isArray(manifest)) throw invalidKeras('its weightsManifest is no list');
  return manifest.map((group: unknown): WeightGroup => {
    const { paths, weights } = isFields(group) ? group : {};
    const isPaths = Array.isArray(paths) && paths.every((path) => typeof path === 'string');
    if (!isPaths || !Array.isArray(weights))
      throw invalidKeras('a group of its weightsManifest lacks paths or weights');
    for (const path of paths) {
      if (/^[/\\]|^[a-z]+:/i.test(path) || path.split(/[/\\]/).includes('..')) {
        throw invalidKeras(`it reads weights from ${path}, which is outside of its folder`);
      }
    }
    return { paths: paths, weights: weights.map(readSpec) };
  });
}

function readSpec(value: unknown): WeightSpec {
  const { name, shape, dtype, quantization } = isFields(value) ? value : {};
  const isShape = Array.isArray(shape) && shape.every((size) => Number.isInteger(size) && size >= 0);
  if (typeof name !== 'string' || !isShape || typeof dtype !== 'string') {
    throw invalidKeras(`its weightsManifest describes no weight: ${JSON.stringify(value)}`);
  }
  return {
    name,
    shape: shape as number[],
    dtype,
    ...(isFields(quantization) && { quantization: quantization as never }),
  };
}

/** Types of weights, and of the numbers that stand for them. */
const widths: Readonly<Record<string, number>> = {
  float32: 4,
  int32: 4,
  bool: 1,
  uint8: 1,
  uint16: 2,
  float16: 2,
};

/**
 * Weights by name, as float32.
 * @throws MaasError MAAS_MODEL_INVALID when the bytes are too few or too many.
 */
export function decodeWeights(specs: readonly WeightSpec[], bytes: Uint8Array): Map<string, NdArray> {
  const arrays = new Map<string, NdArray>();
  let at = 0;
  for (const { name, shape, dtype, quantization } of specs) {
    const stored = quantization?.dtype ?? dtype;
    const width = widths[stored];
    if (width === undefined) throw invalidKeras(`its weight ${name} is ${stored}, which maas does not know`);
    const end = at + sizeOf(shape) * width;
    if (end > bytes.length) {
      throw invalidKeras(`its weights take ${end} bytes and more, and the files have ${bytes.length}`);
    }
    const data = decode(stored, bytes.subarray(at, end), quantization);
    arrays.set(name, { dtype: 'float32', dims: [...shape], data });
    at = end;
  }
  if (at !== bytes.length)
    throw invalidKeras(`its weights take ${at} bytes, and the files have ${bytes.length}`);
  return arrays;
}

function decode(dtype: string, bytes: Uint8Array, quantization: WeightSpec['quantization']): Float32Array {
  // A copy: the bytes of the files need not stay.
  const numbers = viewAs(dtype === 'float16' ? 'uint16' : (dtype as NumericDType), Uint8Array.from(bytes));
  if (dtype === 'float16') return Float32Array.from(numbers as Uint16Array, fromHalf);
  if (!quantization)
    return dtype === 'float32' ? (numbers as Float32Array) : Float32Array.from(numbers as Int32Array);
  const { scale = 1, min = 0 } = quantization;
  const values = allocate('float32', numbers.length);
  for (let index = 0; index < values.length; index++) values[index] = Number(numbers[index]) * scale + min;
  return values;
}
