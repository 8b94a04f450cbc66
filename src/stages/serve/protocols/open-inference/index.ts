import type { Port } from '../../../../data/signature.js';
import {
  defineProtocol,
  type HttpRequest,
  type HttpResponse,
  type ServedModel,
  type ServeHost,
} from '../../../../plugin/api.js';
import { readToolchain } from '../../../toolchain.js';
import { jsonResponse } from '../../json/body.js';
import { datatypeOf } from '../../json/tensors.js';
import { decodePart, findModel } from '../../find-model.js';
import { allowMethods, RequestError } from '../../request-error.js';
import { infer } from './infer.js';

/**
 * Open Inference Protocol v2 over REST:
 * https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
 * The version of a model is the digest of its release. Tensors are JSON, or bytes by the
 * binary tensor data extension.
 */
export const openInferenceProtocol = defineProtocol({
  name: 'open-inference',
  summary: 'Open Inference Protocol v2 over REST, under /v2',
  handle(request, host) {
    const { path } = request;
    return path === '/v2' || path.startsWith('/v2/') ? route(request, host) : undefined;
  },
});

/** By the names that Triton gives them. */
const extensions = ['binary_tensor_data'];

const modelPath = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/(ready|infer))?$/;

// Async, so that what it throws is a rejection.
async function route(request: HttpRequest, host: ServeHost): Promise<HttpResponse> {
  const { path, method } = request;
  if (path === '/v2' || path === '/v2/health/live' || path === '/v2/health/ready') {
    allowMethods(method, ['GET', 'HEAD']);
    if (path === '/v2') return json(200, { name: 'maas', version: readToolchain().maas, extensions });
    if (path === '/v2/health/live') return json(host.live ? 200 : 503, { live: host.live });
    return json(host.ready ? 200 : 503, { ready: host.ready });
  }
  if (path === '/v2/repository/index') {
    allowMethods(method, ['POST']);
    return json(200, listRepository(host));
  }
  const match = modelPath.exec(path);
  if (!match) throw new RequestError(404, `the Open Inference Protocol has nothing at ${path}`);
  const [, name, version, verb] = match;
  allowMethods(method, verb === 'infer' ? ['POST'] : ['GET', 'HEAD']);
  const model = findModel(host, decodePart(name!), version === undefined ? undefined : decodePart(version));
  if (verb === 'infer') return infer(request, model);
  if (verb === 'ready') return json(host.ready ? 200 : 503, { name: model.name, ready: host.ready }, model);
  return json(200, describe(model), model);
}

/** What the repository extension tells of each model; a server of releases loads and unloads by `deploy` alone. */
function listRepository(host: ServeHost): unknown {
  const state = host.ready ? 'READY' : 'UNAVAILABLE';
  return host.models().map(({ name, version }) => ({ name, version, state, reason: '' }));
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

function json(status: number, body: unknown, model?: ServedModel): HttpResponse {
  return { ...jsonResponse(JSON.stringify(body), { model }), status };
}
