import { create, fromBinary, type DescService, type MessageInitShape } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { credentials, makeGenericClientConstructor, status, type Client } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { defineGrpcService } from '../../../../src/stages/serve/grpc/definition.js';
import { Health, HealthCheckRequestSchema } from '../../../../src/stages/serve/grpc/health.generated.js';
import {
  GRPCInferenceService,
  ModelInferRequestSchema,
  type ModelInferResponse,
  type ModelStreamInferResponse,
} from '../../../../src/stages/serve/grpc/inference.generated.js';
import {
  ServerReflection,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from '../../../../src/stages/serve/grpc/reflection.generated.js';
import { echo, flowers, makeShelf, type Shelf } from '../releases.js';
import { start, type Served } from '../start.js';

let shelf: Shelf;
let served: Served;
let inference: Client;
let health: Client;
const clients = new Map<Client, DescService>();

function connect(service: DescService, address: string, name?: string): Client {
  const Constructor = makeGenericClientConstructor(defineGrpcService(service, name), service.typeName);
  const client = new Constructor(address, credentials.createInsecure());
  clients.set(client, service);
  return client;
}

const addressOf = ({ events }: Served): string =>
  events.flatMap((event) => (event.event === 'serving' ? [event.grpc!] : []))[0]!;

beforeAll(async () => {
  shelf = await makeShelf();
  served = await start(await shelf.add(flowers()), { options: { grpcPort: 0 } });
  inference = connect(GRPCInferenceService, addressOf(served));
  health = connect(Health, addressOf(served));
});
afterAll(async () => {
  for (const client of clients.keys()) client.close();
  await served.stop();
  await shelf.remove();
});

type Call = (
  request: unknown,
  done: (error: { code: number; details: string } | null, answer: unknown) => void,
) => void;

function call<Answer = Record<string, unknown>>(
  client: Client,
  method: string,
  request: object = {},
): Promise<Answer> {
  const { input } = clients.get(client)!.methods.find(({ localName }) => localName === method)!;
  const message = create(input, { ...request });
  return new Promise((resolve, reject) => {
    (client as unknown as Record<string, Call>)[method]!.call(client, message, (error, answer) => {
      if (error) reject(Object.assign(new Error(error.details), { code: error.code }));
      else resolve(answer as Answer);
    });
  });
}

/** A call to which messages are written one by one. */
function openStream(service: DescService, method: string, address: string) {
  const { path, requestSerialize, responseDeserialize } = defineGrpcService(service)[method]!;
  const stream = connect(service, address).makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  stream.on('error', () => undefined);
  const ended = new Promise((resolve) =>
    stream.on('status', ({ code }) => {
      resolve(code);
    }),
  );
  return { stream, ended };
}

const makeRequest = (init: MessageInitShape<typeof ModelInferRequestSchema>): object =>
  create(ModelInferRequestSchema, init);
const inputs = [
  { name: 'features', datatype: 'FP32', shape: [2n, 2n], contents: { fp32Contents: [0.1, 2, 3, -1] } },
  {
    name: 'colour',
    datatype: 'BYTES',
    shape: [2n, 1n],
    contents: { bytesContents: [Buffer.from('red'), Buffer.from('white')] },
  },
];
const raw = [
  new Uint8Array(Float32Array.of(0.1, 2, 3, -1).buffer),
  Buffer.concat([Buffer.of(3, 0, 0, 0), Buffer.from('red'), Buffer.of(5, 0, 0, 0), Buffer.from('white')]),
];
const bare = inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape }));

describe('gRPC', () => {
  it('describes the server and its model, and says that both are ready', async () => {
    expect(await call(inference, 'serverLive')).toMatchObject({ live: true });
    expect(await call(inference, 'serverReady')).toMatchObject({ ready: true });
    expect(await call(inference, 'serverMetadata')).toMatchObject({ name: 'maas' });
    expect(await call(inference, 'modelReady', { name: 'flowers' })).toMatchObject({ ready: true });
    expect(await call(inference, 'modelMetadata', { name: 'flowers' })).toMatchObject({
      name: 'flowers',
      versions: [served.digest],
      inputs: [{ name: 'features', datatype: 'FP32', shape: [-1n, 2n] }, { name: 'colour' }],
    });
    expect(await call(inference, 'repositoryIndex', {})).toMatchObject({
      models: [{ name: 'flowers', state: 'READY' }],
    });
  });

  it('gives the answers of REST, in contents and raw', async () => {
    const rest = await served.post('/v2/models/flowers/infer', {
      inputs: [
        { name: 'features', datatype: 'FP32', shape: [2, 2], data: [0.1, 2, 3, -1] },
        { name: 'colour', datatype: 'BYTES', shape: [2, 1], data: ['red', 'white'] },
      ],
    });
    const { outputs } = (await rest.json()) as { outputs: { data: (string | number)[] }[] };
    const request = { modelName: 'flowers', id: 'seven' };
    const plain = await call<ModelInferResponse>(
      inference,
      'modelInfer',
      makeRequest({ ...request, inputs }),
    );
    expect(plain.id).toBe('seven');
    expect(plain.outputs[0]!.contents!.bytesContents.map(String)).toEqual(outputs[0]!.data);
    expect(plain.outputs[1]!.contents!.fp32Contents).toEqual(outputs[1]!.data);
    const rawOnly = makeRequest({
      ...request,
      inputs: bare,
      rawInputContents: raw,
      outputs: [{ name: 'probabilities' }],
    });
    const packed = await call<ModelInferResponse>(inference, 'modelInfer', rawOnly);
    expect(packed.outputs).toHaveLength(1);
    const bytes = Uint8Array.from(packed.rawOutputContents[0]!);
    expect(Array.from(new Float32Array(bytes.buffer))).toEqual(outputs[1]!.data);
  });

  it('carries every type, and 64 bits whole', async () => {
    const path = await shelf.add(echo());
    const other = await start(path, { options: { grpcPort: 0 } });
    const client = connect(GRPCInferenceService, addressOf(other));
    const large = 2n ** 60n + 1n;
    const contents = {
      int64: ['INT64', { int64Contents: [large, -large] }],
      uint64: ['UINT64', { uint64Contents: [2n ** 64n - 1n, 0n] }],
      int32: ['INT32', { intContents: [-(2 ** 31), 5] }],
      uint8: ['UINT8', { uintContents: [255, 0] }],
      bool: ['BOOL', { boolContents: [true, false] }],
      float64: ['FP64', { fp64Contents: [0.1, NaN] }],
      float32: ['FP32', { fp32Contents: [0.5, -Infinity] }],
      string: ['BYTES', { bytesContents: [Buffer.from('ß'), Buffer.from('')] }],
    } as const;
    const all = Object.entries(contents).map(([name, [datatype, held]]) => {
      const copy = Object.fromEntries(
        Object.entries(held).map(([key, values]: [string, readonly unknown[]]) => [key, [...values]]),
      );
      return { name, datatype, shape: [1n, 2n], contents: copy };
    });
    const answer = await call<ModelInferResponse>(
      client,
      'modelInfer',
      makeRequest({ modelName: 'echo', inputs: all }),
    );
    for (const [index, { datatype, contents: got }] of answer.outputs.entries()) {
      expect(datatype).toBe(all[index]!.datatype);
      for (const [key, values] of Object.entries(all[index]!.contents)) {
        expect((got as unknown as Record<string, unknown[]>)[key]!.map(String)).toEqual(values.map(String));
      }
    }
    const tooLarge = all.map((input) =>
      input.name === 'uint8' ? { ...input, contents: { uintContents: [256, 0] } } : input,
    );
    await expect(
      call(client, 'modelInfer', makeRequest({ modelName: 'echo', inputs: tooLarge })),
    ).rejects.toThrow('uint8: element 0');
    await other.stop();
  });

  it.each([
    ['another model', { modelName: 'weeds', inputs }, status.NOT_FOUND],
    ['another version', { modelName: 'flowers', modelVersion: '7', inputs }, status.NOT_FOUND],
    [
      'another input',
      { modelName: 'flowers', inputs: [{ ...inputs[0]!, name: 'x' }] },
      status.INVALID_ARGUMENT,
    ],
    [
      'a wrong type',
      { modelName: 'flowers', inputs: [{ ...inputs[0]!, datatype: 'FP64' }] },
      status.INVALID_ARGUMENT,
    ],
    [
      'a wrong shape',
      { modelName: 'flowers', inputs: [{ ...inputs[0]!, shape: [2n, 3n] }] },
      status.INVALID_ARGUMENT,
    ],
    [
      'too few values',
      { modelName: 'flowers', inputs: [{ ...inputs[0]!, shape: [9n, 2n] }, inputs[1]!] },
      status.INVALID_ARGUMENT,
    ],
    ['no values', { modelName: 'flowers', inputs: bare }, status.INVALID_ARGUMENT],
    ['no inputs', { modelName: 'flowers' }, status.INVALID_ARGUMENT],
    ['both forms', { modelName: 'flowers', inputs, rawInputContents: raw }, status.INVALID_ARGUMENT],
    [
      'raw parts missing',
      { modelName: 'flowers', inputs: bare, rawInputContents: [raw[0]!] },
      status.INVALID_ARGUMENT,
    ],
    [
      'an unknown output',
      { modelName: 'flowers', inputs, outputs: [{ name: 'y' }] },
      status.INVALID_ARGUMENT,
    ],
  ])('refuses %s', async (_, request, code) => {
    await expect(call(inference, 'modelInfer', makeRequest(request))).rejects.toMatchObject({ code });
  });

  it('streams: each message is answered, a wrong one with an error, and the stream ends', async () => {
    const stream = inference.makeBidiStreamRequest(
      ...(() => {
        const { path, requestSerialize, responseDeserialize } =
          defineGrpcService(GRPCInferenceService)['modelStreamInfer']!;
        return [path, requestSerialize, responseDeserialize] as const;
      })(),
    );
    const answers: ModelStreamInferResponse[] = [];
    stream.on('data', (answer: ModelStreamInferResponse) => answers.push(answer));
    for (let id = 0; id < 20; id++) {
      const modelName = id === 7 ? 'weeds' : 'flowers';
      stream.write(makeRequest({ modelName, id: String(id), inputs }));
    }
    stream.end();
    await new Promise((resolve) => stream.on('end', resolve));
    const ids = answers.flatMap(({ inferResponse }) => (inferResponse ? [Number(inferResponse.id)] : []));
    expect(ids.sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, id) => id).filter((id) => id !== 7),
    );
    expect(answers.filter(({ errorMessage }) => errorMessage.includes('weeds'))).toHaveLength(1);
  });

  it('speaks the health protocol', async () => {
    expect(await call(health, 'check', { service: '' })).toMatchObject({ status: 1 });
    expect(await call(health, 'check', { service: 'inference.GRPCInferenceService' })).toMatchObject({
      status: 1,
    });
    await expect(call(health, 'check', { service: 'other' })).rejects.toMatchObject({
      code: status.NOT_FOUND,
    });
  });

  it.each(['v1', 'v1alpha'])('tells of its services by reflection %s', async (version) => {
    const name = `grpc.reflection.${version}.ServerReflection`;
    const client = connect(ServerReflection, addressOf(served), name);
    const { path, requestSerialize, responseDeserialize } = defineGrpcService(ServerReflection, name)[
      'serverReflectionInfo'
    ]!;
    const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    const ask = (
      messageRequest: MessageInitShape<typeof ServerReflectionRequestSchema>['messageRequest'],
    ): Promise<ServerReflectionResponse> =>
      new Promise((resolve) => {
        stream.once('data', resolve);
        stream.write(create(ServerReflectionRequestSchema, { messageRequest }));
      });
    const { messageResponse: services } = await ask({ case: 'listServices', value: '' });
    expect(services.value).toMatchObject({
      service: expect.arrayContaining([
        expect.objectContaining({ name: 'inference.GRPCInferenceService' }),
      ]) as unknown,
    });
    const { messageResponse: file } = await ask({
      case: 'fileContainingSymbol',
      value: 'inference.GRPCInferenceService.ModelInfer',
    });
    const [bytes] = (file.value as { fileDescriptorProto: Uint8Array[] }).fileDescriptorProto;
    expect(fromBinary(FileDescriptorProtoSchema, bytes!).package).toBe('inference');
    const { messageResponse: none } = await ask({ case: 'fileByFilename', value: 'none.proto' });
    expect(none.case).toBe('errorResponse');
    stream.end();
  });

  it('is not ready while it drains, and lets calls under way end', async () => {
    const other = await start(await shelf.add(flowers({ bias: 1 })), { options: { grpcPort: 0 } });
    const client = connect(GRPCInferenceService, addressOf(other));
    const request = makeRequest({ modelName: 'flowers', inputs });
    await call(client, 'modelInfer', request);
    const calls = Array.from({ length: 50 }, () => call(client, 'modelInfer', request));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const stopped = other.stop();
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.filter(({ status: end }) => end === 'rejected')).toEqual([]);
    await stopped;
    await expect(call(client, 'serverLive')).rejects.toMatchObject({ code: status.UNAVAILABLE });
  });

  it('refuses a port that is taken', async () => {
    const port = Number(addressOf(served).split(':').at(-1));
    await expect(start(await shelf.add(flowers()), { options: { grpcPort: port } })).rejects.toMatchObject({
      code: 'MAAS_PORT',
    });
  });

  it('is stopped at once though somebody watches its health, or keeps a stream open for requests', async () => {
    const other = await start(await shelf.add(flowers()), { options: { grpcPort: 0 } });
    const watch = openStream(Health, 'watch', addressOf(other));
    const seen: number[] = [];
    watch.stream.on('data', ({ status: found }: { status: number }) => seen.push(found));
    watch.stream.end(create(HealthCheckRequestSchema));
    const stream = openStream(GRPCInferenceService, 'modelStreamInfer', addressOf(other));
    stream.stream.write(makeRequest({ modelName: 'flowers', inputs }));
    await new Promise((resolve) => stream.stream.once('data', resolve));
    await vi.waitFor(() => {
      expect(seen).toEqual([1]);
    });
    const reflection = openStream(ServerReflection, 'serverReflectionInfo', addressOf(other));
    reflection.stream.write(
      create(ServerReflectionRequestSchema, { messageRequest: { case: 'listServices', value: '' } }),
    );
    await new Promise((resolve) => reflection.stream.once('data', resolve));
    const began = performance.now();
    await other.stop();
    expect(performance.now() - began).toBeLessThan(5000);
    // NOT_SERVING before the end.
    expect(await watch.ended).toBe(status.OK);
    expect(seen).toEqual([1, 2]);
    expect(await stream.ended).toBe(status.UNAVAILABLE);
    expect(await reflection.ended).toBe(status.OK);
  });
});
