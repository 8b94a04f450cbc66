import { create } from '@bufbuild/protobuf';
import type { Port } from '../../../data/signature.js';
import type { NdArray } from '../../../ir/tensor.js';
import type { ServedModel, ServeHost, Urgency } from '../../../plugin/api.js';
import { readToolchain } from '../../toolchain.js';
import { decodeBinary, encodeBinary } from '../binary/tensors.js';
import { findModel } from '../find-model.js';
import { datatypeOf } from '../json/tensors.js';
import { extensionsOf, sizesOf, versionsOf } from '../protocols/open-inference/describe.js';
import { describeConfig } from '../protocols/open-inference/config.js';
import { findInput, findOutputs } from '../protocols/open-inference/find-tensors.js';
import { refuseExtensions } from '../protocols/open-inference/refuse-extensions.js';
import { RequestError } from '../request-error.js';
import { readUrgency } from '../urgency.js';
import { readContents, writeContents } from './contents.js';
import {
  DataType,
  ModelConfigResponseSchema,
  ModelInferResponseSchema,
  ModelMetadataResponseSchema,
  ModelReadyResponseSchema,
  RepositoryIndexResponseSchema,
  RepositoryModelLoadResponseSchema,
  RepositoryModelUnloadResponseSchema,
  ServerLiveResponseSchema,
  ServerMetadataResponseSchema,
  ServerReadyResponseSchema,
  type ModelConfigRequest,
  type ModelInferRequest,
  type ModelInferResponse,
  type ModelMetadataRequest,
  type ModelReadyRequest,
  type RepositoryIndexRequest,
  type RepositoryModelLoadRequest,
} from './inference.generated.js';

/** What a call gives, and the model that gave it, for the metrics. */
export interface Given<Response = object> {
  readonly response: Response;
  readonly model?: ServedModel;
}

/** The calls that take one message and give one, by their names in the .proto file. */
export const calls: Readonly<
  Record<string, (request: never, host: ServeHost, urgency: Urgency) => Given | Promise<Given>>
> = {
  serverLive: (_request, { live }) => ({ response: create(ServerLiveResponseSchema, { live }) }),
  serverReady: (_request, { ready }) => ({ response: create(ServerReadyResponseSchema, { ready }) }),
  serverMetadata: (_request, host) => ({
    response: create(ServerMetadataResponseSchema, {
      name: 'maas',
      version: readToolchain().maas,
      extensions: extensionsOf(host),
    }),
  }),
  async modelReady({ name, version }: ModelReadyRequest, host) {
    const model = await findModel(host, name, version || undefined);
    return { response: create(ModelReadyResponseSchema, { ready: model.ready }), model };
  },
  async modelMetadata({ name, version }: ModelMetadataRequest, host) {
    const model = await findModel(host, name, version || undefined);
    const describe = (port: Port): { name: string; datatype: string; shape: bigint[] } => ({
      name: port.name,
      datatype: datatypeOf(port.dtype),
      shape: sizesOf(port).map(BigInt),
    });
    const response = create(ModelMetadataResponseSchema, {
      name: model.name,
      versions: versionsOf(model, host),
      platform: 'onnx_onnxv1',
      inputs: model.inputs.map(describe),
      outputs: model.outputs.map(describe),
    });
    return { response, model };
  },
  async modelConfig({ name, version }: ModelConfigRequest, host) {
    const model = await findModel(host, name, version || undefined);
    const { input, output, ...config } = describeConfig(model);
    const describe = ({ name, data_type, dims }: (typeof input)[number]): object => ({
      name,
      dataType: DataType[data_type],
      dims: dims.map(BigInt),
    });
    const response = create(ModelConfigResponseSchema, {
      config: {
        name: config.name,
        platform: config.platform,
        backend: config.backend,
        maxBatchSize: config.max_batch_size,
        input: input.map(describe),
        output: output.map(describe),
      },
    });
    return { response, model };
  },
  modelInfer: infer,
  repositoryIndex: ({ ready }: RepositoryIndexRequest, host) => ({
    response: create(RepositoryIndexResponseSchema, {
      models: host.index().filter(({ state }) => !ready || state === 'READY'),
    }),
  }),
  async repositoryModelLoad({ modelName, parameters }: RepositoryModelLoadRequest, host) {
    refuseExtensions(plainOf(parameters));
    await repositoryOf(host).load(modelName);
    return { response: create(RepositoryModelLoadResponseSchema) };
  },
  async repositoryModelUnload({ modelName }: RepositoryModelLoadRequest, host) {
    await repositoryOf(host).unload(modelName);
    return { response: create(RepositoryModelUnloadResponseSchema) };
  },
};

/** Answers raw contents with raw contents, and others with others. @throws RequestError */
export async function infer(
  request: ModelInferRequest,
  host: ServeHost,
  byCall: Urgency,
): Promise<Given<ModelInferResponse>> {
  const { modelName, modelVersion, id, rawInputContents: raw } = request;
  const model = await findModel(host, modelName, modelVersion || undefined);
  const asked = findOutputs(
    model,
    request.outputs.map(({ name }) => name),
  );
  const parameters = plainOf(request.parameters);
  for (const each of [request, ...request.inputs, ...request.outputs])
    refuseExtensions(plainOf(each.parameters));
  const urgency = { ...byCall, ...readUrgency({}, parameters) };
  const results = await model.predict(readInputs(request, model), urgency);
  const arrays = asked.map((name) => results[name]!);
  const contents = raw.length > 0 ? undefined : arrays.map(writeContents);
  const isRaw = contents === undefined || contents.includes(undefined);
  const response = create(ModelInferResponseSchema, {
    modelName: model.name,
    modelVersion: model.version,
    id,
    outputs: arrays.map(({ dtype, dims }, index) => ({
      name: asked[index]!,
      datatype: datatypeOf(dtype),
      shape: dims.map(BigInt),
      ...(!isRaw && { contents: contents[index]! }),
    })),
    rawOutputContents: isRaw ? arrays.map(encodeBinary) : [],
  });
  return { response, model };
}

function readInputs(
  { inputs, rawInputContents: raw }: ModelInferRequest,
  model: ServedModel,
): Record<string, NdArray> {
  if (raw.length > 0 && raw.length !== inputs.length) {
    throw new RequestError(400, `raw_input_contents has ${raw.length} parts for ${inputs.length} inputs`);
  }
  const read: Record<string, NdArray> = {};
  for (const [index, { name, datatype, shape, contents }] of inputs.entries()) {
    const dims = shape.map(Number);
    const { dtype } = findInput(model, name, datatype, dims);
    if (Object.hasOwn(read, name)) throw new RequestError(400, `input ${name} is given twice`);
    if (raw.length > 0 && contents !== undefined) {
      throw new RequestError(400, `input ${name} has contents beside raw_input_contents`);
    }
    read[name] =
      raw.length > 0
        ? decodeBinary(name, dtype, dims, raw[index]!)
        : readContents(name, dtype, dims, contents);
  }
  return read;
}

function plainOf(
  parameters: Readonly<Record<string, { readonly parameterChoice: { readonly value?: unknown } }>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, { parameterChoice }]) => [name, parameterChoice.value]),
  );
}

function repositoryOf({ repository }: ServeHost): NonNullable<ServeHost['repository']> {
  if (repository) return repository;
  throw new RequestError(
    400,
    'models come and go by `maas deploy` here; serve a folder of them with --models',
  );
}
