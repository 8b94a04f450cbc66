import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NdArray } from '../../../src/ir/tensor.js';
import { decodeBinary, encodeBinary } from '../../../src/stages/serve/binary/tensors.js';
import { echo, flowers, makeShelf, type Shelf } from './releases.js';
import { start, type Served } from './start.js';

let shelf: Shelf;
let server: Served;
let echoes: Served;
beforeAll(async () => {
  shelf = await makeShelf();
  server = await start(await shelf.add(flowers()));
  echoes = await start(await shelf.add(echo()));
});
afterAll(async () => {
  await server.stop();
  await echoes.stop();
  await shelf.remove();
});

const bytesOf = (array: NodeJS.ArrayBufferView): Buffer =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength);
const textBytes = (...texts: string[]): Buffer =>
  Buffer.from(encodeBinary({ dtype: 'string', dims: [texts.length], data: texts }));

interface Reply {
  status: number;
  type: string | null;
  json: { error?: string; outputs: { name: string; parameters?: { binary_data_size: number } }[] };
  parts: Map<string, Buffer>;
}

async function send(
  to: Served,
  model: string,
  json: unknown,
  parts: readonly Buffer[],
  { headers = {}, pack = (body: Buffer): Buffer => body } = {},
): Promise<Reply> {
  const head = Buffer.from(JSON.stringify(json));
  const response = await fetch(`${to.url}/v2/models/${model}/infer`, {
    method: 'POST',
    body: pack(Buffer.concat([head, ...parts])),
    headers: {
      'inference-header-content-length': String(head.length),
      'content-type': 'application/octet-stream',
      ...headers,
    },
  });
  const body = Buffer.from(await response.arrayBuffer());
  let offset = Number(response.headers.get('inference-header-content-length') ?? body.length);
  const read = JSON.parse(body.subarray(0, offset).toString()) as Reply['json'];
  const outputs = new Map<string, Buffer>();
  for (const { name, parameters } of response.status === 200 ? read.outputs : []) {
    if (!parameters) continue;
    outputs.set(name, body.subarray(offset, (offset += parameters.binary_data_size)));
  }
  expect(offset).toBe(body.length);
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    json: read,
    parts: outputs,
  };
}

const numbers = Float32Array.of(3, -1, 0.5, 2);
const inputs = [
  { name: 'colour', datatype: 'BYTES', shape: [2, 1], parameters: { binary_data_size: 17 } },
  { name: 'features', datatype: 'FP32', shape: [2, 2], parameters: { binary_data_size: 16 } },
];
// 17 bytes before the numbers: they are not aligned.
const parts = [textBytes('yellow', 'red'), bytesOf(numbers)];

async function askInJson(): Promise<number[]> {
  const response = await server.post('/v2/models/flowers/infer', {
    inputs: [
      { name: 'features', datatype: 'FP32', shape: [2, 2], data: [...numbers] },
      { name: 'colour', datatype: 'BYTES', shape: [2, 1], data: ['yellow', 'red'] },
    ],
    outputs: [{ name: 'probabilities' }],
  });
  return ((await response.json()) as { outputs: { data: number[] }[] }).outputs[0]!.data;
}

describe('the binary tensor extension', () => {
  it('gives the same answer in bytes as in JSON', async () => {
    const reply = await send(server, 'flowers', { inputs, parameters: { binary_data_output: true } }, parts);
    expect(server.events.filter(({ event }) => event === 'warning')).toEqual([]);
    expect(reply.status).toBe(200);
    expect(reply.type).toBe('application/octet-stream');
    const got = decodeBinary('p', 'float32', [2, 3], reply.parts.get('probabilities')!);
    expect([...(got.data as Float32Array)]).toEqual([...Float32Array.from(await askInJson())]);
    expect(decodeBinary('l', 'string', [2], reply.parts.get('label')!).data).toHaveLength(2);
  });

  it('takes bytes and JSON side by side, in and out', async () => {
    const reply = await send(
      server,
      'flowers',
      {
        inputs: [{ name: 'colour', datatype: 'BYTES', shape: [2, 1], data: ['yellow', 'red'] }, inputs[1]],
        outputs: [{ name: 'label' }, { name: 'probabilities', parameters: { binary_data: true } }],
      },
      parts.slice(1),
    );
    expect(reply.json.outputs.map((output) => Object.keys(output).at(-1))).toEqual(['data', 'parameters']);
    expect(reply.parts.get('probabilities')).toHaveLength(24);
    const plain = await send(server, 'flowers', { inputs }, parts);
    expect(plain.type).toBe('application/json');
  });

  it('lets an output go its own way, and a body be packed', async () => {
    const reply = await send(
      server,
      'flowers',
      {
        inputs,
        parameters: { binary_data_output: true },
        outputs: [{ name: 'label', parameters: { binary_data: false } }, { name: 'probabilities' }],
      },
      parts,
      { pack: (body) => gzipSync(body), headers: { 'content-encoding': 'gzip' } },
    );
    expect(reply.status).toBe(200);
    expect([...reply.parts.keys()]).toEqual(['probabilities']);
  });

  it('carries every element type there and back', async () => {
    const arrays: [name: string, datatype: string, bytes: Buffer][] = [
      ['string', 'BYTES', textBytes('Ωmega', '')],
      ['int64', 'INT64', bytesOf(BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n)))],
      ['uint64', 'UINT64', bytesOf(BigUint64Array.of(2n ** 64n - 1n, 2n ** 53n + 1n))],
      ['int32', 'INT32', bytesOf(Int32Array.of(2 ** 31 - 1, -(2 ** 31)))],
      ['uint8', 'UINT8', Buffer.of(255, 0)],
      ['bool', 'BOOL', Buffer.of(1, 0)],
      ['float64', 'FP64', bytesOf(Float64Array.of(0.1, Infinity))],
      ['float32', 'FP32', bytesOf(Float32Array.of(-0, NaN))],
    ];
    const reply = await send(
      echoes,
      'echo',
      {
        inputs: arrays.map(([name, datatype, { length }]) => ({
          name,
          datatype,
          shape: [1, 2],
          parameters: { binary_data_size: length },
        })),
        parameters: { binary_data_output: true },
      },
      arrays.map(([, , bytes]) => bytes),
    );
    expect(reply.status).toBe(200);
    for (const [name, , bytes] of arrays) expect(reply.parts.get(`${name}_out`)).toEqual(bytes);
  });

  const size = (binary_data_size: unknown) => ({ parameters: { binary_data_size } });
  it.each([
    ['a size that does not fill the shape', [inputs[0], { ...inputs[1], ...size(12) }], 'do not fill [2, 2]'],
    ['more than there is', [inputs[0], { ...inputs[1], ...size(20) }], '16 bytes are left'],
    ['bytes left over', [inputs[0], { ...inputs[1], ...size(12), shape: [1, 2] }], '12 bytes do not fill'],
    [
      'bytes of no input',
      [inputs[0], { name: 'features', datatype: 'FP32', shape: [2, 2], data: [1, 2, 3, 4] }],
      'belong to no input',
    ],
    ['a size that is none', [{ ...inputs[0], ...size('17') }], 'must be a number of bytes'],
    ['data twice', [{ ...inputs[0], data: ['a', 'b'] }], 'both data and binary_data_size'],
    ['cut strings', [{ ...inputs[0], ...size(15) }], 'past the end'],
    ['too few strings', [{ ...inputs[0], ...size(10) }], '1 strings do not fill'],
  ])('refuses %s', async (_what, wrong, message) => {
    const reply = await send(server, 'flowers', { inputs: wrong }, parts);
    expect(reply.status).toBe(400);
    expect(reply.json.error).toContain(message);
  });

  it.each(['-1', 'x', '100000'])('refuses a JSON length of %s', async (length) => {
    const headers = { 'inference-header-content-length': length };
    const reply = await send(server, 'flowers', { inputs }, parts, { headers });
    expect(reply.status).toBe(400);
    expect(reply.json.error).toContain('Inference-Header-Content-Length');
  });

  it('refuses bytes that are no text and no boolean', () => {
    const broken = Buffer.concat([Buffer.of(1, 0, 0, 0), Buffer.of(0xff)]);
    expect(() => decodeBinary('x', 'string', [1], broken)).toThrow('element 0 is not UTF-8');
    expect(() => decodeBinary('x', 'bool', [2], Buffer.of(1, 2))).toThrow('element 1 must be 0 or 1');
    const none: NdArray = decodeBinary('x', 'float32', [0, 3], Buffer.alloc(0));
    expect(none.data).toHaveLength(0);
  });
});
