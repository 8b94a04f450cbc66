import type { NdArray } from '../../../../ir/tensor.js';
import type { HttpRequest, HttpResponse, ServedModel } from '../../../../plugin/api.js';
import { decodeBinary, encodeBinary } from '../../binary/tensors.js';
import { isObject, jsonResponse, parseBody } from '../../json/body.js';
import { scanTensors, type ScannedList } from '../../json/scan.js';
import { datatypeOf, decodeTensor, encodeData, takeScanned } from '../../json/tensors.js';
import { RequestError } from '../../request-error.js';
import { readUrgency } from '../../urgency.js';
import { splitBody, type BinaryPart } from './binary-part.js';
import { findInput, findOutputs } from './find-tensors.js';
import { refuseExtensions } from './refuse-extensions.js';

interface AskedOutput {
  readonly name: string;
  readonly binary: boolean;
}

/** Answers `…/infer`: tensors as JSON, or as bytes behind the JSON, for each tensor as the caller says. */
export async function infer(request: HttpRequest, model: ServedModel): Promise<HttpResponse> {
  const { json, rest } = splitBody(request);
  // In front of tensors in binary there are hardly ever lists of numbers.
  const single = model.inputs.every(({ dtype }) => dtype === 'float32');
  const scanned = rest.length > 0 ? undefined : scanTensors(json, single);
  const bigints = model.inputs.some(({ dtype }) => dtype === 'int64' || dtype === 'uint64');
  const body = parseBody(scanned?.text ?? json.toString('utf8'), { bigints });
  if (!isObject(body)) throw new RequestError(400, 'the body must be an object with inputs');
  const { id } = body;
  if (id !== undefined && typeof id !== 'string') throw new RequestError(400, 'id must be a string');
  const inputs = readInputs(model, body['inputs'], rest, scanned?.lists);
  const asked = readOutputs(model, body);
  refuseExtensions(body['parameters']);
  const results = await model.predict(inputs, readUrgency(request.headers, body['parameters']));
  const parts: Uint8Array[] = [];
  const outputs = asked.map(({ name, binary }) => encodeOutput(name, results[name]!, binary, parts));
  // Put together by hand: JSON.stringify knows no 64-bit integers.
  const head = `{"model_name":${JSON.stringify(model.name)},"model_version":${JSON.stringify(model.version)}`;
  const own = id === undefined ? '' : `,"id":${JSON.stringify(id)}`;
  const text = `${head}${own},"outputs":[${outputs.join(',')}]}`;
  if (parts.length === 0) return jsonResponse(text, { model });
  const start = Buffer.from(text);
  return {
    status: 200,
    headers: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(start.length),
    },
    body: Buffer.concat([start, ...parts]),
    model,
  };
}

function readInputs(
  model: ServedModel,
  inputs: unknown,
  rest: BinaryPart,
  lists: readonly ScannedList[] | undefined,
): Record<string, NdArray> {
  const read: Record<string, NdArray> = {};
  for (const input of list(inputs, 'inputs')) {
    const name = nameOf(input, 'input');
    const { datatype, shape, data } = input;
    const port = findInput(model, name, datatype, shape);
    if (Object.hasOwn(read, name)) throw new RequestError(400, `input ${name} is given twice`);
    refuseExtensions(input['parameters']);
    const dims = shape as readonly number[];
    const size = parameter(input, 'binary_data_size');
    if (size === undefined) {
      // A number under data stands for a list that was scanned: nothing else gets past the scanner.
      const list = typeof data === 'number' ? lists?.[data] : undefined;
      read[name] = list
        ? takeScanned(name, port.dtype, dims, list)
        : decodeTensor(name, port.dtype, dims, data);
    } else if (data !== undefined) {
      throw new RequestError(400, `input ${name} has both data and binary_data_size`);
    } else read[name] = decodeBinary(name, port.dtype, dims, rest.take(name, size));
  }
  rest.end();
  return read;
}

/** The outputs that the caller asks for, in that order; all of them when it does not say. */
function readOutputs(model: ServedModel, body: Record<string, unknown>): readonly AskedOutput[] {
  const all = parameter(body, 'binary_data_output') === true;
  const asked = body['outputs'] === undefined ? [] : list(body['outputs'], 'outputs');
  for (const output of asked) refuseExtensions(output['parameters']);
  const own = new Map(asked.map((output) => [nameOf(output, 'output'), parameter(output, 'binary_data')]));
  const names = asked.map((output) => nameOf(output, 'output'));
  return findOutputs(model, names).map((name) => {
    // What an output says of itself goes before what the request says of all.
    const says = own.get(name);
    return { name, binary: says === undefined ? all : says === true };
  });
}

function encodeOutput(name: string, array: NdArray, binary: boolean, parts: Uint8Array[]): string {
  const { dtype, dims } = array;
  const head = `{"name":${JSON.stringify(name)},"datatype":"${datatypeOf(dtype)}","shape":[${dims.join()}]`;
  if (!binary) return `${head},"data":${encodeData(array)}}`;
  const bytes = encodeBinary(array);
  parts.push(bytes);
  return `${head},"parameters":{"binary_data_size":${bytes.length}}}`;
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
