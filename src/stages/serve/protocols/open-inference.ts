import type { Port } from '../../../data/signature.js';
import type { NdArray } from '../../../ir/tensor.js';
import {
  defineProtocol,
  type HttpRequest,
  type HttpResponse,
  type ServedModel,
  type ServeHost,
} from '../../../plugin/api.js';
import { isObject, jsonResponse, parseBody, textOf } from '../json/body.js';
import { datatypeOf, decodeTensor, encodeData } from '../json/tensors.js';
import { readToolchain } from '../../toolchain.js';
import { allowMethods, busy, RequestError } from '../request-error.js';

/**
 * Open Inference Protocol v2 over REST:
 * https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
 * The version of a model is the digest of its release. Tensors are JSON; the binary extension is not there.
 */
export const openInferenceProtocol = defineProtocol({
  name: 'open-inference',
  summary: 'Open Inference Protocol v2 over REST, under /v2',
  handle(request, host) {
    const { path } = request;
    return path === '/v2' || path.startsWith('/v2/') ? route(request, host) : undefined;
  },
});

const modelPath = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/(ready|infer))?$/;

// Async, so that what it throws is a rejection.
async function route(request: HttpRequest, host: ServeHost): Promise<HttpResponse> {
  const { path, method } = request;
  if (path === '/v2' || path === '/v2/health/live' || path === '/v2/health/ready') {
    allowMethods(method, ['GET', 'HEAD']);
    if (path === '/v2') return json(200, { name: 'maas', version: readToolchain().maas, extensions: [] });
    if (path === '/v2/health/live') return json(host.live ? 200 : 503, { live: host.live });
    return json(host.ready ? 200 : 503, { ready: host.ready });
  }
  const match = modelPath.exec(path);
  if (!match) throw new RequestError(404, `the Open Inference Protocol has nothing at ${path}`);
  const [, name, version, verb] = match;
  allowMethods(method, verb === 'infer' ? ['POST'] : ['GET', 'HEAD']);
  const model = find(host, decodePart(name!), version === undefined ? undefined : decodePart(version));
  if (verb === 'infer') return infer(request, model);
  if (verb === 'ready') return json(host.ready ? 200 : 503, { name: model.name, ready: host.ready }, model);
  return json(200, describe(model), model);
}

function find(host: ServeHost, name: string, version: string | undefined): ServedModel {
  const model = host.model(name, version);
  if (model) return model;
  if (host.models().length === 0) throw busy('no model is loaded yet');
  const which = version === undefined ? `model ${name}` : `version ${version} of model ${name}`;
  const served = host.models().map((other) => `${other.name} version ${other.version}`);
  throw new RequestError(404, `there is no ${which}; served: ${served.join(', ')}`);
}

function decodePart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RequestError(400, `${text} is not a valid part of a path`);
  }
}

function describe({ name, version, signature }: ServedModel): unknown {
  const describePort = (port: Port): unknown => ({
    name: port.name,
    datatype: datatypeOf(port.dtype),
    shape: port.shape.map((dim) => (typeof dim === 'number' ? dim : -1)),
  });
  return {
    name,
    versions: [version],
    platform: 'onnx_onnxv1',
    inputs: signature.inputs.map(describePort),
    outputs: signature.outputs.map(describePort),
  };
}

async function infer(request: HttpRequest, model: ServedModel): Promise<HttpResponse> {
  if (request.headers['inference-header-content-length'] !== undefined) throw noBinary();
  const bigints = model.signature.inputs.some(({ dtype }) => dtype === 'int64' || dtype === 'uint64');
  const body = parseBody(textOf(request), { bigints });
  if (!isObject(body)) throw new RequestError(400, 'the body must be an object with inputs');
  const { id } = body;
  if (id !== undefined && typeof id !== 'string') throw new RequestError(400, 'id must be a string');
  if (parameter(body, 'binary_data_output') === true) throw noBinary();
  const inputs = readInputs(model, body['inputs']);
  const asked = readOutputs(model, body['outputs']);
  const results = await model.predict(inputs);
  const head = {
    model_name: model.name,
    model_version: model.version,
    ...(id !== undefined && { id }),
  };
  const outputs = asked.map((name) => encodeOutput(name, results[name]!)).join(',');
  // Put together by hand: JSON.stringify knows no 64-bit integers.
  return jsonResponse(`${JSON.stringify(head).slice(0, -1)},"outputs":[${outputs}]}`, { model });
}

function readInputs(model: ServedModel, inputs: unknown): Record<string, NdArray> {
  const ports = new Map(model.signature.inputs.map((port) => [port.name, port]));
  const read: Record<string, NdArray> = {};
  for (const input of list(inputs, 'inputs')) {
    const name = nameOf(input, 'input');
    const port = ports.get(name);
    if (!port) throw unknownName('input', name, ports.keys());
    if (Object.hasOwn(read, name)) throw new RequestError(400, `input ${name} is given twice`);
    if (parameter(input, 'binary_data_size') !== undefined) throw noBinary();
    const { datatype, shape, data } = input;
    if (datatype !== datatypeOf(port.dtype)) {
      const found = datatype === undefined ? 'nothing' : JSON.stringify(datatype);
      throw new RequestError(
        400,
        `input ${name}: datatype must be ${datatypeOf(port.dtype)}, found ${found}`,
      );
    }
    // Before the data is read: a shape says how much of it to expect.
    if (!fits(shape, port)) {
      const wanted = port.shape.map((dim) => (typeof dim === 'number' ? dim : -1));
      throw new RequestError(
        400,
        `input ${name}: shape must be [${wanted.join(', ')}] (-1 is any size), found ${JSON.stringify(shape) ?? 'nothing'}`,
      );
    }
    read[name] = decodeTensor(name, port.dtype, shape, data);
  }
  return read;
}

function fits(shape: unknown, port: Port): shape is number[] {
  return (
    Array.isArray(shape) &&
    shape.length === port.shape.length &&
    shape.every((dim: unknown, axis) => {
      const expected = port.shape[axis]!;
      return typeof expected === 'number'
        ? dim === expected
        : Number.isSafeInteger(dim) && (dim as number) >= 0;
    })
  );
}

/** Names of the outputs that the caller asks for, in that order; all of them when it does not say. */
function readOutputs(model: ServedModel, outputs: unknown): readonly string[] {
  const known = model.signature.outputs.map((port) => port.name);
  if (outputs === undefined) return known;
  const asked = list(outputs, 'outputs').map((output) => {
    const name = nameOf(output, 'output');
    if (!known.includes(name)) throw unknownName('output', name, known);
    if (parameter(output, 'binary_data') === true) throw noBinary();
    return name;
  });
  const twice = asked.find((name, index) => asked.indexOf(name) !== index);
  if (twice !== undefined) throw new RequestError(400, `output ${twice} is asked for twice`);
  return asked.length > 0 ? asked : known;
}

function encodeOutput(name: string, array: NdArray): string {
  const head = JSON.stringify({ name, datatype: datatypeOf(array.dtype), shape: array.dims });
  return `${head.slice(0, -1)},"data":${encodeData(array)}}`;
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

function unknownName(kind: string, name: string, known: Iterable<string>): RequestError {
  return new RequestError(400, `the model has no ${kind} ${name}; it has ${[...known].join(', ')}`);
}

function noBinary(): RequestError {
  return new RequestError(
    400,
    'the binary tensor data extension is not supported; send and ask for JSON data',
  );
}

function json(status: number, body: unknown, model?: ServedModel): HttpResponse {
  return { ...jsonResponse(JSON.stringify(body), { model }), status };
}
