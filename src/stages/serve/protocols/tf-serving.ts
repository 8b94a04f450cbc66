import type { Port } from '../../../data/signature.js';
import type { DType } from '../../../ir/tensor.js';
import {
  defineProtocol,
  type HttpRequest,
  type HttpResponse,
  type ServedModel,
  type ServeHost,
} from '../../../plugin/api.js';
import { decodePart, findModel } from '../find-model.js';
import { isObject, jsonResponse, parseBody, quote, textOf } from '../json/body.js';
import { printNamed, printRow, readColumns, readInstances, refuseWhole } from '../json/columns.js';
import { encodeNested } from '../json/nested.js';
import { allowMethods, RequestError } from '../request-error.js';
import { readUrgency } from '../urgency.js';

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
  const model = await findModel(
    host,
    decodePart(name!),
    version === undefined ? undefined : decodePart(version),
  );
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

function describeSignature({ name, version, inputs, outputs }: ServedModel): unknown {
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
    inputs: byName(inputs),
    outputs: byName(outputs),
    method_name: 'tensorflow/serving/predict',
  };
  return {
    model_spec: { name, signature_name: '', version },
    metadata: { signature_def: { signature_def: { [signatureName]: definition } } },
  };
}

async function predict(request: HttpRequest, model: ServedModel): Promise<HttpResponse> {
  const { inputs, outputs } = model;
  const bigints = inputs.some(({ dtype }) => dtype === 'int64' || dtype === 'uint64');
  const body = parseBody(textOf(request), { bigints });
  if (!isObject(body)) throw new RequestError(400, 'the body must be an object with instances or inputs');
  const wanted = body['signature_name'];
  if (wanted !== undefined && wanted !== '' && wanted !== signatureName) {
    throw new RequestError(400, `the model has no signature ${quote(wanted)}; it has ${signatureName}`);
  }
  const urgency = readUrgency(request.headers);
  const names = outputs.map((port) => port.name);
  if (body['instances'] === undefined) {
    if (body['inputs'] === undefined)
      throw new RequestError(400, 'the body has neither instances nor inputs');
    const results = await model.predict(readColumns(inputs, body['inputs']), urgency);
    const printed = printNamed(names, (name) => encodeNested(results[name]!));
    return jsonResponse(`{"outputs":${printed}}`, { model });
  }
  if (body['inputs'] !== undefined) throw new RequestError(400, 'the body has both instances and inputs');
  const rows = readRows(body['instances']);
  if (rows.length === 0) return jsonResponse('{"predictions":[]}', { model });
  const results = await model.predict(readInstances(inputs, rows, 'instances'), urgency);
  refuseWhole(results, rows.length);
  const printed = rows.map((_, row) => printRow(names, results, row));
  return jsonResponse(`{"predictions":[${printed.join(',')}]}`, { model });
}

function readRows(instances: unknown): readonly unknown[] {
  if (Array.isArray(instances)) return instances;
  throw new RequestError(400, 'instances must be a list');
}
