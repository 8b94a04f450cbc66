import { create } from '@bufbuild/protobuf';
import { credentials, makeGenericClientConstructor } from '@grpc/grpc-js';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openSession, type Feeds } from '../../../../src/runtime/session.js';
import { serveOptions } from '../../../../src/stages/serve/config.js';
import { findDifference } from '../../../../src/stages/serve/golden.js';
import { defineGrpcService } from '../../../../src/stages/serve/grpc/definition.js';
import {
  GRPCInferenceService,
  ModelInferRequestSchema,
  type ModelInferResponse,
} from '../../../../src/stages/serve/grpc/inference.generated.js';
import { makeShelf } from '../releases.js';
import { start, type Served } from '../start.js';
import { encoder, lists } from './encoder.js';

let root: string;
let served: Served | undefined;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-padding-'));
  await writeFile(join(root, 'encoder.onnx'), encoder());
  await writeFile(join(root, 'blind.onnx'), encoder({ masked: false }));
  await writeFile(join(root, 'other.onnx'), encoder());
});
afterEach(async () => {
  await served?.stop();
  served = undefined;
});
afterAll(() => rm(root, { recursive: true, force: true }));

const list = (length: number): number[] => Array.from({ length }, (_, index) => 1 + ((5 * index) % 40));

/** `pooled` of a list of words by itself. */
async function pooledOf(bytes: Uint8Array, length: number): Promise<Feeds> {
  const session = await openSession(bytes);
  const { pooled } = await session.run(lists([list(length)]));
  await session.close();
  return { pooled: pooled! };
}

function expectPooled(got: Iterable<number>, expected: Feeds): void {
  const data = Float32Array.from(got);
  const pooled = { dtype: 'float32', dims: [1, data.length], data } as const;
  expect(findDifference({ pooled }, expected, 1e-5)).toBeUndefined();
}

const inputsOf = (length: number): object[] => [
  { name: 'ids', datatype: 'INT64', shape: [1, length], data: list(length) },
  { name: 'mask', datatype: 'INT64', shape: [1, length], data: list(length).fill(1) },
];

async function inferJson(model: string, length: number): Promise<number[]> {
  const body = { inputs: inputsOf(length), outputs: [{ name: 'pooled' }] };
  const answer = await served!.post(`/v2/models/${model}/infer`, body);
  return ((await answer.json()) as { outputs: { data: number[] }[] }).outputs[0]!.data;
}

async function inferBinary(length: number): Promise<Float32Array> {
  const inputs = ['ids', 'mask'].map((name) => {
    const parameters = { binary_data_size: 8 * length };
    return { name, datatype: 'INT64', shape: [1, length], parameters };
  });
  const outputs = [{ name: 'pooled', parameters: { binary_data: true } }];
  const head = Buffer.from(JSON.stringify({ inputs, outputs }));
  const { ids, mask } = lists([list(length)]);
  const answer = await fetch(`${served!.url}/v2/models/encoder/infer`, {
    method: 'POST',
    headers: { 'inference-header-content-length': String(head.length) },
    body: Buffer.concat([
      head,
      ...[ids, mask].map(({ data }) => Buffer.from((data as BigInt64Array).buffer)),
    ]),
  });
  const bytes = await answer.arrayBuffer();
  return new Float32Array(bytes.slice(Number(answer.headers.get('inference-header-content-length'))));
}

interface Infer {
  modelInfer(request: unknown, done: (error: Error | null, answer: ModelInferResponse) => void): void;
}

async function inferGrpc(length: number): Promise<number[]> {
  const Constructor = makeGenericClientConstructor(defineGrpcService(GRPCInferenceService), 'infer');
  const address = served!.events.flatMap((event) => (event.event === 'serving' ? [event.grpc!] : []))[0]!;
  const client = new Constructor(address, credentials.createInsecure());
  const tensors = Object.entries(lists([list(length)])).map(([name, { data }]) => ({
    name,
    datatype: 'INT64',
    shape: [1n, BigInt(length)],
    contents: { int64Contents: [...(data as BigInt64Array)] },
  }));
  const request = { modelName: 'encoder', inputs: tensors, outputs: [{ name: 'pooled' }] };
  try {
    const answer = await new Promise<ModelInferResponse>((resolve, reject) => {
      const done = (error: Error | null, infer: ModelInferResponse): void => {
        if (error) reject(error);
        else resolve(infer);
      };
      (client as unknown as Infer).modelInfer(create(ModelInferRequestSchema, request), done);
    });
    return answer.outputs[0]!.contents!.fp32Contents;
  } finally {
    client.close();
  }
}

async function predict(length: number): Promise<number[]> {
  const answer = await served!.post('/predict', { ids: list(length), mask: list(length).fill(1) });
  return ((await answer.json()) as { pooled: number[] }).pooled;
}

const textsOf = (event: 'note' | 'warning'): string[] =>
  served!.events.flatMap((told) => (told.event === event && 'text' in told ? [told.text] : []));

describe('serve.padding', () => {
  it('puts requests of different lengths into one run, whatever protocol they came by', async () => {
    const { padding } = serveOptions.parse({ padding: { S: { buckets: [16] } } });
    // The run waits until it is full.
    const options = { padding, grpcPort: 0, maxBatchSize: 4, maxDelayMs: 60_000, workers: 0 };
    served = await start(join(root, 'encoder.onnx'), { kind: 'file', options });
    expect(textsOf('note')).toContain('requests of encoder are padded along S to share runs');
    const answers = await Promise.all([inferJson('encoder', 5), inferBinary(9), inferGrpc(12), predict(16)]);
    for (const [index, length] of [5, 9, 12, 16].entries()) {
      expectPooled(answers[index]!, await pooledOf(encoder(), length));
    }
    const metrics = await (await served.get('/metrics')).text();
    const of = 'model="encoder",version="1"';
    for (const line of [
      // One of four rows, and of each by itself: the first are compared.
      `maas_batch_rows_count{${of}} 5`,
      `maas_batch_rows_sum{${of}} 8`,
      `maas_padded_elements_total{${of},kind="data"} ${2 * 42}`,
      `maas_padded_elements_total{${of},kind="padding"} ${2 * (64 - 42)}`,
    ]) {
      expect(metrics.split('\n')).toContain(line);
    }
  });

  it('says of which models of a folder nothing is padded, and why', async () => {
    const { padding, models } = serveOptions.parse({
      padding: { S: {} },
      models: { encoder: { padding: { S: { buckets: [16] } } }, blind: {}, other: { padding: {} } },
    });
    served = await start(root, { kind: 'repository', options: { padding, models, workers: 0 } });
    expect(textsOf('warning')).toEqual([
      expect.stringMatching(/^blind gets no request padded: padding changes an answer/),
    ]);
    expect(textsOf('note')).toContain('requests of encoder are padded along S to share runs');
    expectPooled(await inferJson('blind', 7), await pooledOf(encoder({ masked: false }), 7));
    await served.stop();
    served = await start(root, {
      kind: 'repository',
      options: { padding: serveOptions.parse({ padding: { T: {} } }).padding, workers: 0 },
    });
    expect(textsOf('warning').sort()).toEqual(
      ['blind', 'encoder', 'other'].map((name) => `${name} gets no request padded: it has no dimension T`),
    );
  });

  it('holds for releases, which are tried with their golden rows', async () => {
    const shelf = await makeShelf();
    const { padding } = serveOptions.parse({ padding: { S: {} } });
    const release = {
      signature: {
        schemaVersion: 1,
        name: 'encoder',
        task: 'regression',
        features: [{ name: 'ids', type: 'number', input: 'ids', column: 0 }],
        inputs: ['ids', 'mask'].map((name) => ({ name, dtype: 'int64', shape: ['N', 'S'] }) as const),
        outputs: [
          { name: 'states', dtype: 'float32', shape: ['N', 'S', 16] },
          { name: 'shares', dtype: 'float32', shape: ['N', 'S', 'S'] },
          { name: 'pooled', dtype: 'float32', shape: ['N', 16] },
          { name: 'best', dtype: 'int64', shape: ['N'] },
        ],
        target: { name: 'pooled' },
        data: { digest: '0'.repeat(64) },
      },
      inputs: lists([list(6), list(6).reverse()]),
    } as const;
    for (const [masked, told] of [
      [true, 'note'],
      [false, 'warning'],
    ] as const) {
      const folder = await shelf.add({ ...release, model: encoder({ masked }) });
      served = await start(folder, { options: { padding, workers: 0 } });
      expect(textsOf(told).join()).toMatch(
        masked ? /requests of encoder are padded/ : /padding changes an answer \(/,
      );
      await served.stop();
    }
    await shelf.remove();
  });

  it.each([
    [{ S: { buckets: [16, 8] } }, 'must ascend'],
    [{ S: { buckets: [] } }, 'Too small'],
    [{ S: { bucket: [8] } }, 'Unrecognized key'],
    [{ S: { value: 'pad' } }, 'Invalid input'],
  ])('refuses %j', (padding, message) => {
    expect(serveOptions.safeParse({ padding }).error?.message).toContain(message);
  });
});
