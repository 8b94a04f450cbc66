import type { Port } from '../../../../data/signature.js';
import type { ServedModel } from '../../../../plugin/api.js';
import { isObject, parseBody } from '../../json/body.js';
import { datatypeOf } from '../../json/tensors.js';
import { RequestError } from '../../request-error.js';
import { findInput, findOutputs } from './find-tensors.js';
import { refuseExtensions } from './refuse-extensions.js';

/** What a request asks for, without its tensors: the same for each request that a client makes. */
export interface Plan {
  readonly id: string | undefined;
  readonly inputs: readonly PlannedInput[];
  readonly outputs: readonly PlannedOutput[];
  readonly parameters: unknown;
}

export interface PlannedInput {
  readonly name: string;
  readonly port: Port;
  readonly dims: readonly number[];
  /** `binary_data_size`, as the caller gives it; without one, the data is in the JSON. */
  readonly size: unknown;
  readonly data: unknown;
}

export interface PlannedOutput {
  readonly name: string;
  readonly binary: boolean;
  /** How its description in the answer begins, up to its shape. */
  readonly head: string;
}

/** @param text JSON of the request. @throws RequestError 400 */
function readPlan(model: ServedModel, text: string): Plan {
  const bigints = model.inputs.some(({ dtype }) => dtype === 'int64' || dtype === 'uint64');
  const body = parseBody(text, { bigints });
  if (!isObject(body)) throw new RequestError(400, 'the body must be an object with inputs');
  const { id, parameters } = body;
  if (id !== undefined && typeof id !== 'string') throw new RequestError(400, 'id must be a string');
  const plan = {
    id,
    inputs: planInputs(model, body['inputs']),
    outputs: planOutputs(model, body),
    parameters,
  };
  refuseExtensions(parameters);
  return plan;
}

function planInputs(model: ServedModel, inputs: unknown): PlannedInput[] {
  const names = new Set<string>();
  return list(inputs, 'inputs').map((input) => {
    const name = nameOf(input, 'input');
    const { datatype, shape, data } = input;
    const port = findInput(model, name, datatype, shape);
    if (names.has(name)) throw new RequestError(400, `input ${name} is given twice`);
    names.add(name);
    refuseExtensions(input['parameters']);
    const size = parameter(input, 'binary_data_size');
    if (size !== undefined && data !== undefined)
      throw new RequestError(400, `input ${name} has both data and binary_data_size`);
    return { name, port, dims: shape as readonly number[], size, data };
  });
}

/** The outputs that the caller asks for, in that order; all of them when it does not say. */
function planOutputs(model: ServedModel, body: Record<string, unknown>): PlannedOutput[] {
  const all = parameter(body, 'binary_data_output') === true;
  const asked = body['outputs'] === undefined ? [] : list(body['outputs'], 'outputs');
  for (const output of asked) refuseExtensions(output['parameters']);
  const own = new Map(asked.map((output) => [nameOf(output, 'output'), parameter(output, 'binary_data')]));
  const names = asked.map((output) => nameOf(output, 'output'));
  return findOutputs(model, names).map((name) => {
    // What an output says of itself goes before what the request says of all.
    const says = own.get(name);
    const { dtype } = model.outputs.find((port) => port.name === name)!;
    const head = `{"name":${JSON.stringify(name)},"datatype":"${datatypeOf(dtype)}","shape":[`;
    return { name, binary: says === undefined ? all : says === true, head };
  });
}

function list(value: unknown, name: string): readonly Record<string, unknown>[] {
  if (Array.isArray(value) && value.every(isObject)) return value;
  throw new RequestError(400, `${name} must be a list of objects`);
}

function nameOf(tensor: Record<string, unknown>, kind: string): string {
  if (typeof tensor['name'] === 'string') return tensor['name'];
  throw new RequestError(400, `an ${kind} has no name`);
}

function parameter(holder: Record<string, unknown>, name: string): unknown {
  const { parameters } = holder;
  return isObject(parameters) ? parameters[name] : undefined;
}

/** Longer texts are not kept. In characters. */
const longestKept = 2048;

/** Plans by their text and the model: reading one takes longer than the run of a small model. */
export class Plans {
  readonly #most: number;
  /** By what stays the same whoever looks on at a model's answers: its inputs. */
  readonly #known = new WeakMap<ServedModel['inputs'], Map<string, Plan>>();

  constructor(most = 256) {
    this.#most = most;
  }

  /**
   * @param text JSON, in which a number under `data` stands for a list that was scanned.
   * @throws RequestError 400
   */
  read(model: ServedModel, text: string): Plan {
    let known = this.#known.get(model.inputs);
    const found = known?.get(text);
    if (found) return found;
    const plan = readPlan(model, text);
    // With an id, or with data, no two are alike.
    const isOwn = plan.id !== undefined || plan.inputs.some(({ data }) => typeof data === 'object');
    if (isOwn || text.length > longestKept) return plan;
    if (!known) this.#known.set(model.inputs, (known = new Map<string, Plan>()));
    if (known.size >= this.#most) known.clear();
    known.set(text, plan);
    return plan;
  }
}
