import { isId } from '../../data/encode-rows.js';
import type { Feature, Port } from '../../data/signature.js';
import { sizeOf, type NdArray } from '../../ir/tensor.js';
import type { Feeds } from '../../runtime/session.js';
import { RequestError } from './request-error.js';

/** What a model takes and gives. */
export interface Ports {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

/** Inputs that fit the model. */
export interface CheckedInputs {
  readonly feeds: Feeds;
  /** Size of dimension 0. Means something only for a model whose ports all have it symbolic. */
  readonly rows: number;
  /** Equal for inputs that differ in nothing but dimension 0. */
  readonly shapeKey: string;
}

/**
 * Holds inputs against what the model takes: names, types, ranks, fixed sizes, one size for each symbol, and as much data as
 * the shape says. Nothing else may reach the runtime, least of all in a batch with other people's rows.
 * @throws RequestError 400
 */
export function checkInputs(ports: Ports, inputs: Feeds, features: readonly Feature[] = []): CheckedInputs {
  const symbols = new Map<string, number>();
  const feeds: Record<string, NdArray> = {};
  let shapeKey = '';
  for (const port of ports.inputs) {
    const array = Object.hasOwn(inputs, port.name) ? inputs[port.name] : undefined;
    if (!array) throw new RequestError(400, `input ${port.name} is missing`);
    checkArray(port, array, symbols);
    feeds[port.name] = array;
    for (let axis = 1; axis < array.dims.length; axis++) shapeKey += `${array.dims[axis]!},`;
  }
  for (const name of Object.keys(inputs)) {
    if (!Object.hasOwn(feeds, name)) throw new RequestError(400, `the model has no input ${name}`);
  }
  for (const { input, ids } of features) {
    const bad = ids === undefined ? undefined : feeds[input]!.data.find((id) => !isId(Number(id), ids));
    if (bad !== undefined)
      throw new RequestError(400, `input ${input} holds ids from 0 to ${ids! - 1}, not ${bad}`);
  }
  const first = ports.inputs[0];
  return { feeds, rows: first ? (feeds[first.name]!.dims[0] ?? 1) : 1, shapeKey };
}

function checkArray(port: Port, { dtype, dims, data }: NdArray, symbols: Map<string, number>): void {
  const wanted = (): string => `input ${port.name} wants ${port.dtype} [${port.shape.join(', ')}]`;
  if (dtype !== port.dtype) throw new RequestError(400, `${wanted()}, not ${dtype}`);
  const fits =
    dims.length === port.shape.length &&
    dims.every((dim, axis) => {
      const expected = port.shape[axis]!;
      if (typeof expected === 'number') return dim === expected;
      const bound = symbols.get(expected);
      if (bound === undefined) symbols.set(expected, dim);
      return bound === undefined || bound === dim;
    });
  if (!fits) {
    const bound = port.shape
      .filter((dim) => typeof dim === 'string' && symbols.has(dim))
      .map((dim) => ` with ${dim} = ${symbols.get(String(dim))!}`);
    throw new RequestError(400, `${wanted()}, not [${dims.join(', ')}]${bound[0] ?? ''}`);
  }
  if (data.length !== sizeOf(dims)) {
    throw new RequestError(400, `input ${port.name}: ${data.length} values do not fill [${dims.join(', ')}]`);
  }
  // onnxruntime-node hands strings on as C strings: the model would see another text than the caller sent.
  if (dtype === 'string' && (data as string[]).some((text) => text.includes('\0'))) {
    throw new RequestError(400, `input ${port.name}: text must not hold the character U+0000`);
  }
}

/** True when the signature lets rows of several requests share one run: one symbol for dimension 0 of every port. */
export function hasBatchDimension({ inputs, outputs }: Ports): boolean {
  const symbol = inputs[0]?.shape[0];
  return typeof symbol === 'string' && [...inputs, ...outputs].every((port) => port.shape[0] === symbol);
}
