import { allocate, isNumeric, type DType, type NdArray } from '../../ir/tensor.js';
import { MaasError } from '../../errors.js';
import type { Feeds } from '../../runtime/session.js';

/** Inputs of some rows and what the model answered to each of them alone, when the release was made. */
export interface Golden {
  readonly inputs: Readonly<Record<string, NdArray>>;
  readonly outputs: Readonly<Record<string, NdArray>>;
  /** An output x may be off by tolerance × (1 + |x|). */
  readonly tolerance: number;
}

interface PlainArray {
  readonly dtype: DType;
  readonly dims: readonly number[];
  /** null is NaN, which JSON has no word for: a row without that feature. */
  readonly data: readonly (number | string | null)[];
}

interface PlainGolden {
  readonly inputs: Readonly<Record<string, PlainArray>>;
  readonly outputs: Readonly<Record<string, PlainArray>>;
  readonly tolerance: number;
}

/** Reads the tensors of `golden.json`. */
export function parseGolden(json: unknown): Golden {
  const { inputs, outputs, tolerance } = json as PlainGolden;
  return { inputs: mapValues(inputs, toNdArray), outputs: mapValues(outputs, toNdArray), tolerance };
}

function toNdArray({ dtype, dims, data }: PlainArray): NdArray {
  if (dtype === 'string') return { dtype, dims, data: data.map(String) };
  if (!isNumeric(dtype)) throw new MaasError('MAAS_MODEL_UNSUPPORTED', `golden.json holds ${dtype} tensors`);
  const values = allocate(dtype, data.length);
  const isWide = values instanceof BigInt64Array || values instanceof BigUint64Array;
  for (const [index, value] of data.entries()) {
    values[index] = isWide ? BigInt(value ?? 0) : value === null ? NaN : Number(value);
  }
  return { dtype, dims, data: values };
}

/** Name of the first output that is further off than the tolerance allows, with where; undefined when all agree. */
export function findDifference(got: Feeds, expected: Feeds, tolerance: number): string | undefined {
  for (const [name, { dims, data }] of Object.entries(expected)) {
    const output = got[name];
    if (output?.dims.join() !== dims.join()) return `${name} has shape [${output?.dims.join(', ') ?? ''}]`;
    for (let index = 0; index < data.length; index++) {
      if (!isClose(output.data[index]!, data[index]!, tolerance)) {
        return `${name}[${index}] is ${String(output.data[index])} and not ${String(data[index])}`;
      }
    }
  }
  return undefined;
}

function isClose(
  got: number | bigint | string,
  expected: number | bigint | string,
  tolerance: number,
): boolean {
  if (got === expected) return true;
  if (typeof got === 'string' || typeof expected === 'string') return false;
  const [a, b] = [Number(got), Number(expected)];
  return Object.is(a, b) || Math.abs(a - b) <= tolerance * (1 + Math.abs(b));
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  change: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}
