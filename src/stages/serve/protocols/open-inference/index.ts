import type { Port } from '../../../../data/signature.js';
import {
  defineProtocol,
  type HttpRequest,
  type HttpResponse,
  type ServedModel,
  type ServeHost,
} from '../../../../plugin/api.js';
import { readToolchain } from '../../../toolchain.js';
import { isObject, jsonResponse, parseBody, textOf } from '../../json/body.js';
import { datatypeOf } from '../../json/tensors.js';
import { decodePart, findModel } from '../../find-model.js';
import { allowMethods, RequestError } from '../../request-error.js';
import { extensionsOf, sizesOf, versionsOf } from './describe.js';
import { describeConfig } from './config.js';
import { infer } from './infer.js';
import { refuseExtensions } from './refuse-extensions.js';

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

const repositoryPath = /^\/v2\/repository\/models\/([^/]+)\/(load|unload)$/;
const modelPath = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/(ready|infer|config))?$/;

// Async, so that what it throws is a rejection.
async function route(request: HttpRequest, host: ServeHost): Promise<HttpResponse> {
  const { path, method } = request;
  const isRoot = path === '/v2' || path === '/v2/';
  if (isRoot || path === '/v2/health/live' || path === '/v2/health/ready') {
    allowMethods(method, ['GET', 'HEAD']);
    if (isRoot) {
      return json(200, { name: 'maas', version: readToolchain().maas, extensions: extensionsOf(host) });
    }
    if (path === '/v2/health/live') return json(host.live ? 200 : 503, { live: host.live });
    return json(host.ready ? 200 : 503, { ready: host.ready });
  }
  if (path === '/v2/repository/index') {
    allowMethods(method, ['POST']);
    return json(200, listRepository(request, host));
  }
  const order = repositoryPath.exec(path);
  if (order) {
    allowMethods(method, ['POST']);
    const body = readOptional(request);
    refuseExtensions(body['parameters']);
    return json(200, await changeRepository(host, decodePart(order[1]!), order[2] as 'load' | 'unload'));
  }
  const match = modelPath.exec(path);
  if (!match) throw new RequestError(404, `the Open Inference Protocol has nothing at ${path}`);
  const [, name, version, verb] = match;
  allowMethods(method, verb === 'infer' ? ['POST'] : ['GET', 'HEAD']);
  const model = await findModel(
    host,
    decodePart(name!),
    version === undefined ? undefined : decodePart(version),
  );
  if (verb === 'infer') return infer(request, model);
  if (verb === 'ready') return json(model.ready ? 200 : 503, { name: model.name, ready: model.ready }, model);
  if (verb === 'config') return json(200, describeConfig(model), model);
  return json(200, describe(model, host), model);
}

/** The repository extension's index; `{"ready": true}` asks for what is ready alone. */
function listRepository(request: HttpRequest, host: ServeHost): unknown {
  const body = readOptional(request);
  const { ready } = body;
  if (ready !== undefined && typeof ready !== 'boolean')
    throw new RequestError(400, 'ready must be true or false');
  const all = host.index();
  return ready === true ? all.filter(({ state }) => state === 'READY') : all;
}

/** A body that may be left out. @throws RequestError 400 */
function readOptional(request: HttpRequest): Record<string, unknown> {
  const body = request.body.length === 0 ? {} : parseBody(textOf(request));
  if (!isObject(body)) throw new RequestError(400, 'the body must be an object');
  return body;
}

async function changeRepository(host: ServeHost, name: string, verb: 'load' | 'unload'): Promise<unknown> {
  if (!host.repository) {
    throw new RequestError(
      400,
      'models come and go by `maas deploy` here; serve a folder of them with --models',
    );
  }
  await host.repository[verb](name);
  return {};
}

function describe(model: ServedModel, host: ServeHost): unknown {
  const { name, inputs, outputs } = model;
  const describePort = (port: Port): unknown => ({
    name: port.name,
    datatype: datatypeOf(port.dtype),
    shape: sizesOf(port),
  });
  return {
    name,
    versions: versionsOf(model, host),
    platform: 'onnx_onnxv1',
    inputs: inputs.map(describePort),
    outputs: outputs.map(describePort),
  };
}

function json(status: number, body: unknown, model?: ServedModel): HttpResponse {
  return { ...jsonResponse(JSON.stringify(body), { model }), status };
}
