import { isUtf8 } from 'node:buffer';
import type { Port } from '../../../data/signature.js';
import type { DType, NdArray } from '../../../ir/tensor.js';
import {
  defineProtocol,
  type HttpRequest,
  type HttpResponse,
  type ServedModel,
  type ServeHost,
} from '../../../plugin/api.js';
import { decodePart, findModel } from '../find-model.js';
import { isObject, jsonResponse, parseBody, textOf } from '../json/body.js';
import { encodeNested, encodeRow, shapeOf } from '../json/nested.js';
import { decodeTensor } from '../json/tensors.js';
import { allowMethods, RequestError } from '../request-error.js';

/**
 * The REST interface of TensorFlow Serving, for clients that were written for it:
 * https://www.tensorflow.org/tfx/serving/api_rest. The version of a model is the digest of its release.
 */
export const tfServingProtocol = defineProtocol({
  name: 'tf-serving',
  summary: 'TensorFlow Serving REST: POST /v1/models/NAME:predict with instances or inputs',
  handle(request, host) {
    return request.path.startsWith('/v1/models/') ? route(request, host) : undefined;
  },
});

const signatureName = 'serving_default';
const modelPath = /^\/v1\/models\/([^/:]+)(?:\/versions\/([^/:]+))?(:predict|\/metadata)?$/;

// Async, so that what it throws is a rejection.
async function route(request: HttpRequest, host: ServeHost): Promise<HttpResponse> {
  const match = modelPath.exec(request.path);
  if (!match) throw new RequestError(404, `the TensorFlow Serving API has nothing at ${request.path}`);
  const [, name, version, verb] = match;
  allowMethods(request.method, verb === ':predict' ? ['POST'] : ['GET', 'HEAD']);
  const model = findModel(host, decodePart(name!), version === undefined ? undefined : decodePart(version));
  if (verb === ':predict') return predict(request, model);
  const body = verb === undefined ? describeStatus(model) : describeSignature(model);
  return jsonResponse(JSON.stringify(body), { model });
}

function describeStatus({ version }: ServedModel): unknown {
  const status = { error_code: 'OK', error_message: '' };
  return { model_version_status: [{ version, state: 'AVAILABLE', status }] };
}

const typeNames: Partial<Record<DType, string>> = {
  float32: 'DT_FLOAT',
  float64: 'DT_DOUBLE',
  float16: 'DT_HALF',
  bfloat16: 'DT_BFLOAT16',
  string: 'DT_STRING',
};

function describeSignature({ name, version, signature }: ServedModel): unknown {
  const describe = (port: Port): unknown => ({
    dtype: typeNames[port.dtype] ?? `DT_${port.dtype.toUpperCase()}`,
    tensor_shape: {
      dim: port.shape.map((dim) => ({ size: typeof dim === 'number' ? String(dim) : '-1', name: '' })),
      unknown_rank: false,
    },
    name: port.name,
  });
  const byName = (ports: readonly Port[]): unknown =>
    Object.fromEntries(ports.map((port) => [port.name, describe(port)]));
  const definition = {
    inputs: byName(signature.inputs),
    outputs: byName(signature.outputs),
    method_name: 'tensorflow/serving/predict',
  };
  return {
    model_spec: { name, signature_name: '', version },
    metadata: { signature_def: { signature_def: { [signatureName]: definition } } },
  };
}

async function predict(request: HttpRequest, model: ServedModel): Promise<HttpResponse> {
  const { inputs, outputs } = model.signature;
  const bigints = inputs.some(({ dtype }) => dtype === 'int64' || dtype === 'uint64');
  const body = parseBody(textOf(request), { bigints });
  if (!isObject(body)) throw new RequestError(400, 'the body must be an object with instances or inputs');
  const wanted = body['signature_name'];
  if (wanted !== undefined && wanted !== '' && wanted !== signatureName) {
    throw new RequestError(
      400,
      `the model has no signature ${JSON.stringify(wanted)}; it has ${signatureName}`,
    );
  }
  const names = outputs.map((port) => port.name);
  if (body['instances'] === undefined) {
    if (body['inputs'] === undefined)
      throw new RequestError(400, 'the body has neither instances nor inputs');
    const results = await model.predict(readColumns(inputs, body['inputs']));
    const printed = printOne(names, (name) => encodeNested(results[name]!));
    return jsonResponse(`{"outputs":${printed}}`, { model });
  }
  if (body['inputs'] !== undefined) throw new RequestError(400, 'the body has both instances and inputs');
  const rows = readRows(body['instances']);
  if (rows.length === 0) return jsonResponse('{"predictions":[]}', { model });
  const results = await model.predict(readInstances(inputs, rows));
  const whole = names.find((name) => results[name]!.dims[0] !== rows.length);
  if (whole !== undefined) {
    throw new RequestError(
      400,
      `output ${whole} is not one value for each instance: send inputs, not instances`,
    );
  }
  const printed = rows.map((_, row) => printOne(names, (name) => encodeRow(results[name]!, row)));
  return jsonResponse(`{"predictions":[${printed.join(',')}]}`, { model });
}

/** One output stands for itself, several are named. Put together by hand: JSON.stringify knows no 64-bit integers. */
function printOne(names: readonly string[], print: (name: string) => string): string {
  if (names.length === 1) return print(names[0]!);
  return `{${names.map((name) => `${JSON.stringify(name)}:${print(name)}`).join(',')}}`;
}

function readRows(instances: unknown): readonly unknown[] {
  if (Array.isArray(instances)) return instances;
  throw new RequestError(400, 'instances must be a list');
}

/** Row by row: each instance is the value of the only input, or an object with a value for each. */
function readInstances(ports: readonly Port[], rows: readonly unknown[]): Record<string, NdArray> {
  const columns: Record<string, unknown[]> = {};
  for (const port of ports) columns[port.name] = [];
  for (const [index, row] of rows.entries()) {
    for (const [name, value] of Object.entries(byInput(ports, row, `instances[${index}]`))) {
      columns[name]!.push(value);
    }
  }
  return readColumns(ports, columns);
}

/** Column by column: the value of the only input, or an object with a value for each. */
function readColumns(ports: readonly Port[], inputs: unknown): Record<string, NdArray> {
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
