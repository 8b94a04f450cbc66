import type { Table } from '../../data/dataset.js';
import { numbersOf } from '../../data/rows.js';
import type { Feature } from '../../data/signature.js';
import { encodePng } from '../../data/images/png.js';
import { shapeOf } from '../../data/images/spec.js';
import { allocate, type NdArray, sizeOf } from '../../ir/tensor.js';

/** What a caller of `/predict` sends for one row: a value by feature name, null where there is none. */
export type RawRow = Readonly<Record<string, RawValue>>;

/** An array is nested lists. */
type RawValue = number | string | null | readonly RawValue[];

/**
 * Up to `limit` rows of a table, the same ones every time, in ascending order: each class gives rows in turn, so that a
 * rare class is among them, and within a class they are spread evenly. A regression's rows are spread over the
 * range of its target.
 */
export function pickRows(table: Table, limit: number): number[] {
  const classes = new Map<number, number[]>();
  const values = numbersOf(table.target);
  const regression = table.target.dtype === 'float32';
  for (let row = 0; row < table.rows; row += 1) {
    const key = regression ? 0 : values[row]!;
    const rows = classes.get(key);
    if (rows) rows.push(row);
    else classes.set(key, [row]);
  }
  if (regression) classes.get(0)?.sort((a, b) => values[a]! - values[b]! || a - b);

  const groups = [...classes].sort(([a], [b]) => a - b).map(([, rows]) => rows);
  const shares = shareOut(
    groups.map((rows) => rows.length),
    Math.min(limit, table.rows),
  );
  return groups.flatMap((rows, group) => spread(rows, shares[group]!)).sort((a, b) => a - b);
}

/** Gives out `total` one by one in turn to those who still have room. */
function shareOut(room: readonly number[], total: number): number[] {
  const shares = room.map(() => 0);
  for (let given = 0, turn = 0; given < total; turn += 1) {
    const group = turn % room.length;
    if (shares[group]! >= room[group]!) continue;
    shares[group]! += 1;
    given += 1;
  }
  return shares;
}

function spread(rows: readonly number[], count: number): number[] {
  return Array.from({ length: count }, (_, index) => rows[Math.floor((index * rows.length) / count)]!);
}

/** Row `row` of every array, as a batch of one. */
export function takeRow(arrays: Readonly<Record<string, NdArray>>, row: number): Record<string, NdArray> {
  return mapValues(arrays, ({ dtype, dims, data }) => {
    const width = sizeOf(dims.slice(1));
    return {
      dtype,
      dims: [1, ...dims.slice(1)],
      data: data.slice(row * width, (row + 1) * width),
    };
  });
}

/** Batches one below the other. All have the same names, types and further dims. */
export function joinRows(batches: readonly Readonly<Record<string, NdArray>>[]): Record<string, NdArray> {
  return mapValues(batches[0]!, (first, name) => {
    const parts = batches.map((batch) => batch[name]!);
    const dims = [parts.reduce((rows, part) => rows + part.dims[0]!, 0), ...first.dims.slice(1)];
    if (first.dtype === 'string') {
      return { dtype: 'string', dims, data: parts.flatMap((part) => part.data as string[]) };
    }
    const data = allocate(first.dtype, sizeOf(dims));
    let offset = 0;
    for (const part of parts) {
      (data as Float32Array).set(part.data as Float32Array, offset);
      offset += part.data.length;
    }
    return { dtype: first.dtype, dims, data };
  });
}

/** Row `row` of a model's inputs as a caller of `/predict` would write it; an image as a file of the same pixels. */
export function toRawRow(
  features: readonly Feature[],
  inputs: Readonly<Record<string, NdArray>>,
  row: number,
): RawRow {
  return Object.fromEntries(
    features.map(({ name, input, column, shape, image }): [string, RawValue] => {
      const { dtype, dims, data } = inputs[input]!;
      if (image) {
        const png = encodePng(takeRow(inputs, row)[input]!.data as Uint8Array, shapeOf(image));
        return [name, `data:image/png;base64,${png.toString('base64')}`];
      }
      if (shape) return [name, nest(toPlain(takeRow(inputs, row)[input]!), shape)];
      const value = data[row * sizeOf(dims.slice(1)) + column]!;
      if (typeof value === 'string') return [name, value];
      return [name, Number.isNaN(value) ? null : toNumber(dtype, value)];
    }),
  );
}

function nest(values: readonly RawValue[], shape: readonly number[]): RawValue {
  if (shape.length === 0) return values[0]!;
  const [size = 1, ...rest] = shape;
  const width = values.length / size;
  return Array.from({ length: size }, (_, at) => nest(values.slice(at * width, (at + 1) * width), rest));
}

/** The elements as JSON holds them; each number reads back as the same element. */
export function toPlain({ dtype, data }: NdArray): (number | string)[] {
  return Array.from(data as ArrayLike<number | string | bigint>, (value) =>
    typeof value === 'string' ? value : toNumber(dtype, value),
  );
}

function toNumber(dtype: NdArray['dtype'], value: number | bigint): number {
  return dtype === 'float32' ? shortest(Number(value)) : Number(value);
}

/** The number with the fewest digits that is this float32: 5.1, and not 5.099999904632568. Nine digits always do. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits += 1) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return Number(value.toPrecision(9));
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  change: (value: From, key: string) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value, key)]));
}
