import { isUtf8 } from 'node:buffer';
import type { Port } from '../../../data/signature.js';
import type { NdArray } from '../../../ir/tensor.js';
import { RequestError } from '../request-error.js';
import { isObject } from './body.js';
import { encodeRow, shapeOf } from './nested.js';
import { decodeTensor } from './tensors.js';

/** Row by row: each instance is the value of the only input, or an object with a value for each. */
export function readInstances(
  ports: readonly Port[],
  rows: readonly unknown[],
  where: string,
): Record<string, NdArray> {
  const columns: Record<string, unknown[]> = {};
  for (const port of ports) columns[port.name] = [];
  for (const [index, row] of rows.entries()) {
    for (const [name, value] of Object.entries(byInput(ports, row, `${where}[${index}]`))) {
      columns[name]!.push(value);
    }
  }
  return readColumns(ports, columns);
}

/** Column by column: the value of the only input, or an object with a value for each. */
export function readColumns(ports: readonly Port[], inputs: unknown): Record<string, NdArray> {
  const values = byInput(ports, inputs, 'inputs');
  return Object.fromEntries(ports.map((port) => [port.name, readTensor(port, values[port.name])]));
}

function byInput(ports: readonly Port[], value: unknown, where: string): Record<string, unknown> {
  const names = ports.map((port) => port.name);
  if (!isObject(value) || ('b64' in value && !names.includes('b64'))) {
    if (names.length === 1) return { [names[0]!]: value };
    throw new RequestError(400, `${where} must be an object with ${names.join(', ')}`);
  }
  const missing = names.find((name) => !Object.hasOwn(value, name));
  if (missing !== undefined) throw new RequestError(400, `${where} has no ${missing}`);
  const unknown = Object.keys(value).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new RequestError(400, `${where}: the model has no input ${unknown}`);
  return value;
}

function readTensor({ name, dtype, shape }: Port, value: unknown): NdArray {
  const dims = shapeOf(value, shape.length);
  // A single value for a list says the same as the list of it only where the model takes a scalar.
  const data = Array.isArray(value) ? value : [value];
  return decodeTensor(name, dtype, dims, dtype === 'string' ? unwrap(name, data) : data);
}

/** `{"b64": …}` stands for the text that these bytes are. */
function unwrap(name: string, values: readonly unknown[]): unknown[] {
  return values.map((value) => {
    if (Array.isArray(value)) return unwrap(name, value);
    if (!isObject(value) || typeof value['b64'] !== 'string') return value;
    const bytes = Buffer.from(value['b64'], 'base64');
    if (isUtf8(bytes)) return bytes.toString('utf8');
    throw new RequestError(400, `input ${name}: b64 holds bytes that are not UTF-8`);
  });
}

/** Prints one row of the outputs. One output stands for itself, several are named. */
export function printRow(
  names: readonly string[],
  outputs: Readonly<Record<string, NdArray>>,
  row: number,
): string {
  return printNamed(names, (name) => encodeRow(outputs[name]!, row));
}

/** Put together by hand: JSON.stringify knows no 64-bit integers. */
export function printNamed(names: readonly string[], print: (name: string) => string): string {
  if (names.length === 1) return print(names[0]!);
  return `{${names.map((name) => `${JSON.stringify(name)}:${print(name)}`).join(',')}}`;
}

/** @throws RequestError 400 when an output has not one value for each of the rows. */
export function refuseWhole(outputs: Readonly<Record<string, NdArray>>, rows: number): void {
  const whole = Object.keys(outputs).find((name) => outputs[name]!.dims[0] !== rows);
  if (whole === undefined) return;
  throw new RequestError(400, `output ${whole} is not one value for each row: send whole tensors instead`);
}
