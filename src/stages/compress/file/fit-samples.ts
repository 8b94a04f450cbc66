import type { FileArray } from '../../../data/arrays/array-file.js';
import type { SampleSet } from '../../../data/samples.js';
import { MaasError } from '../../../errors.js';
import { openInputs, type Dim, type Graph, type Value } from '../../../ir/graph.js';
import { allocate, isNumeric, sizeOf, type NdArray, type NumericDType } from '../../../ir/tensor.js';
import type { Feeds } from '../../../runtime/session.js';

/**
 * Cuts the arrays of a file into samples, each a run of the model. Along the first axis there may be one row after
 * another, when the model takes any number of rows, or whole inputs.
 * @throws MaasError MAAS_DATA_COLUMN, MAAS_DATA_VALUE when the arrays do not fit the model.
 */
export function fitSamples(set: SampleSet, graph: Graph, file: string): Feeds[] {
  const inputs = openInputs(graph);
  const parts = inputs.map((input, index) => {
    const array = set.get(input.name) ?? set.get(`input_${index}`) ?? joinColumns(set, input);
    if (!array) {
      throw misfit(file, `there is no array for the model's input "${input.name}"`, {
        hint: `The model takes ${inputs.map(describe).join(', ')}; there is ${[...set.keys()].join(', ')}.`,
      });
    }
    return cut(array, input, file);
  });
  const count = Math.min(...parts.map(({ length }) => length));
  return Array.from({ length: count }, (_, at) =>
    Object.fromEntries(inputs.map(({ name }, index) => [name, parts[index]![at]!])),
  );
}

/** A table's columns side by side, for a model that takes them as one matrix. */
function joinColumns(set: SampleSet, { shape }: Value): FileArray | undefined {
  const columns = [...set.values()].filter(({ dims, data }) => dims.length === 1 && !Array.isArray(data));
  if (shape?.length !== 2 || shape[1] !== columns.length) return undefined;
  const rows = columns[0]!.dims[0]!;
  const data = new Float64Array(rows * columns.length);
  columns.forEach((column, at) => {
    for (let row = 0; row < rows; row++) data[row * columns.length + at] = Number(column.data[row]);
  });
  return { dims: [rows, columns.length], data };
}

function cut({ dims, data }: FileArray, input: Value, file: string): NdArray[] {
  const shape = input.shape ?? dims;
  const matches = (from: readonly number[], to: readonly Dim[]) =>
    from.length === to.length && from.every((dim, axis) => typeof to[axis] !== 'number' || to[axis] === dim);
  const [first = 1, ...inner] = dims;
  // A column of a table, for an input of one number a row.
  const widened = dims.length === 1 && shape.length === 2 ? [first, 1] : dims;
  let each: readonly number[] | undefined;
  if (matches(inner, shape)) each = inner;
  else if (matches(widened, [widened[0]!, ...shape.slice(1)])) {
    const rows = typeof shape[0] === 'number' ? shape[0] : 1;
    each = [rows, ...widened.slice(1)];
  }
  if (shape.length === 0 && dims.length === 0) each = [];
  const size = each && sizeOf(each);
  if (!each || size === 0 || data.length < size!) {
    throw misfit(file, `an array of [${dims.join(', ')}] does not fill the model's input ${describe(input)}`);
  }
  const dtype = input.dtype ?? 'float32';
  return Array.from({ length: Math.floor(data.length / size!) }, (_, at) => ({
    dtype: dtype as NdArray['dtype'],
    dims: each,
    data: convert(data.slice(at * size!, (at + 1) * size!), dtype, input, file),
  }));
}

function convert(
  data: FileArray['data'],
  dtype: NonNullable<Value['dtype']>,
  input: Value,
  file: string,
): NdArray['data'] {
  if (dtype === 'string') return Array.from(data as ArrayLike<unknown>, String);
  if (!isNumeric(dtype) || Array.isArray(data) || dtype === 'float16' || dtype === 'bfloat16') {
    throw misfit(file, `the model's input ${describe(input)} cannot be filled from a file`);
  }
  const values = data as ArrayLike<number | bigint>;
  const into = allocate(dtype as NumericDType, values.length) as unknown as (number | bigint)[];
  const wide = dtype === 'int64' || dtype === 'uint64';
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    if (wide && typeof value === 'number' && !Number.isInteger(value)) {
      throw misfit(file, `${value} is no whole number, which the input ${describe(input)} takes`, {
        code: 'MAAS_DATA_VALUE',
      });
    }
    into[at] = wide ? BigInt(value) : Number(value);
  }
  return into as unknown as NdArray['data'];
}

function describe({ name, dtype, shape }: Value): string {
  return `${name}: ${dtype ?? 'any type'}[${shape?.map((dim) => dim || '?').join(', ') ?? '…'}]`;
}

function misfit(
  file: string,
  message: string,
  {
    hint,
    code = 'MAAS_DATA_COLUMN' as const,
  }: { hint?: string; code?: 'MAAS_DATA_COLUMN' | 'MAAS_DATA_VALUE' } = {},
): MaasError {
  return new MaasError(code, message, { place: { file }, ...(hint !== undefined && { hint }) });
}
