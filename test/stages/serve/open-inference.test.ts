import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { echo, flowers, makeShelf, type Shelf } from './releases.js';
import { post, start, type Served } from './start.js';

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

interface Tensor {
  name: string;
  datatype: string;
  shape: number[];
  data: unknown[];
}
interface Inferred {
  model_name: string;
  model_version: string;
  id?: string;
  outputs: Tensor[];
}

const features = { name: 'features', datatype: 'FP32', shape: [2, 2], data: [3, -1, 0.5, 2] };
const colour = { name: 'colour', datatype: 'BYTES', shape: [2, 1], data: ['yellow', 'red'] };

async function infer(body: unknown): Promise<{ status: number; body: Inferred & { error: string } }> {
  const response = await server.post('/v2/models/flowers/infer', body);
  return { status: response.status, body: (await response.json()) as Inferred & { error: string } };
}

describe('server and model endpoints', () => {
  it('describes the server', async () => {
    // The protocol's OpenAPI document has a slash behind it, its text has none.
    for (const path of ['/v2', '/v2/']) {
      const { version, ...rest } = (await (await server.get(path)).json()) as Record<string, unknown>;
      expect(rest).toEqual({ name: 'maas', extensions: ['binary_tensor_data'] });
      expect(version).toMatch(/^\d+\.\d+\.\d+/);
    }
  });

  it('is live and ready', async () => {
    expect(await (await server.get('/v2/health/live')).json()).toEqual({ live: true });
    expect(await (await server.get('/v2/health/ready')).json()).toEqual({ ready: true });
    expect((await fetch(`${server.url}/v2/health/ready`, { method: 'HEAD' })).status).toBe(200);
  });

  it('describes the model, with and without its version', async () => {
    const expected = {
      name: 'flowers',
      versions: [server.digest],
      platform: 'onnx_onnxv1',
      inputs: [
        { name: 'features', datatype: 'FP32', shape: [-1, 2] },
        { name: 'colour', datatype: 'BYTES', shape: [-1, 1] },
      ],
      outputs: [
        { name: 'label', datatype: 'BYTES', shape: [-1] },
        { name: 'probabilities', datatype: 'FP32', shape: [-1, 3] },
      ],
    };
    expect(await (await server.get('/v2/models/flowers')).json()).toEqual(expected);
    expect(await (await server.get(`/v2/models/flowers/versions/${server.digest}`)).json()).toEqual(expected);
    const ready = { name: 'flowers', ready: true };
    expect(await (await server.get('/v2/models/flowers/ready')).json()).toEqual(ready);
    const versioned = await server.get(`/v2/models/flowers/versions/${server.digest}/ready`);
    expect(await versioned.json()).toEqual(ready);
  });

  it.each([
    ['/v2/models/tulips', 404],
    ['/v2/models/flowers/versions/1', 404],
    ['/v2/models/flowers/versions/1/ready', 404],
    ['/v2/models/flowers/infer', 405],
    ['/v2/models/flowers/explain', 404],
    ['/v2/models', 404],
    ['/v2/models/%E0%A4%A/ready', 400],
    ['/v2x', 404],
  ])('answers GET %s with %i and an error', async (path, status) => {
    const response = await server.get(path);
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({ error: expect.any(String) as string });
  });
});

describe('infer', () => {
  it('answers flat data, with id, name and version', async () => {
    const { status, body } = await infer({ id: 'x1', inputs: [colour, features] });
    expect(status).toBe(200);
    expect(body).toMatchObject({ model_name: 'flowers', model_version: server.digest, id: 'x1' });
    expect(body.outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape }))).toEqual([
      { name: 'label', datatype: 'BYTES', shape: [2] },
      { name: 'probabilities', datatype: 'FP32', shape: [2, 3] },
    ]);
    expect(body.outputs[1]!.data).toHaveLength(6);
  });

  it('gives nested data the same answer, and knows no id that was not sent', async () => {
    const flat = (await infer({ inputs: [features, colour] })).body;
    const nested = await infer({
      inputs: [
        {
          ...features,
          data: [
            [3, -1],
            [0.5, 2],
          ],
        },
        { ...colour, data: [['yellow'], ['red']] },
      ],
    });
    expect(nested.body.outputs).toEqual(flat.outputs);
    expect(flat).not.toHaveProperty('id');
  });

  it('agrees with /predict', async () => {
    const { body } = await infer({ inputs: [features, colour] });
    const rows = [
      { height: 3, width: -1, colour: 'yellow' },
      { height: 0.5, width: 2, colour: 'red' },
    ];
    const predicted = (await (await server.post('/predict', rows)).json()) as { label: string }[];
    expect(body.outputs[0]!.data).toEqual(predicted.map(({ label }) => label));
  });

  it('selects outputs in the order asked for', async () => {
    const inputs = [features, colour];
    const names = async (outputs: unknown): Promise<string[]> =>
      (await infer({ inputs, outputs })).body.outputs.map(({ name }) => name);
    expect(await names([{ name: 'probabilities' }])).toEqual(['probabilities']);
    expect(await names([{ name: 'probabilities' }, { name: 'label' }])).toEqual(['probabilities', 'label']);
    expect(await names([])).toEqual(['label', 'probabilities']);
  });

  it('takes no rows at all', async () => {
    const { status, body } = await infer({
      inputs: [
        { ...features, shape: [0, 2], data: [] },
        { ...colour, shape: [0, 1], data: [] },
      ],
    });
    expect(status).toBe(200);
    expect(body.outputs.map(({ shape, data }) => ({ shape, data }))).toEqual([
      { shape: [0], data: [] },
      { shape: [0, 3], data: [] },
    ]);
  });

  it.each([
    ['no inputs', {}, 'inputs must be a list'],
    ['a list', [], 'must be an object'],
    ['an input that is missing', { inputs: [features] }, 'input colour is missing'],
    ['an unknown input', { inputs: [{ ...features, name: 'x' }] }, 'no input x; it has features, colour'],
    ['an input without a name', { inputs: [{ ...features, name: 1 }] }, 'has no name'],
    ['an input given twice', { inputs: [features, features] }, 'given twice'],
    [
      'another datatype',
      { inputs: [{ ...features, datatype: 'FP64' }] },
      'datatype must be FP32, found "FP64"',
    ],
    ['no datatype', { inputs: [{ ...features, datatype: undefined }] }, 'found nothing'],
    ['another width', { inputs: [{ ...features, shape: [1, 4] }] }, 'shape must be [-1, 2]'],
    ['another rank', { inputs: [{ ...features, shape: [4] }] }, 'shape must be [-1, 2]'],
    ['a negative size', { inputs: [{ ...features, shape: [-1, 2] }] }, 'shape must be [-1, 2]'],
    ['a broken size', { inputs: [{ ...features, shape: [1.5, 2] }] }, 'shape must be [-1, 2]'],
    [
      'a shape that the data do not fill',
      { inputs: [{ ...features, shape: [3, 2] }] },
      '4 values do not fill [3, 2]',
    ],
    ['ragged data', { inputs: [{ ...features, data: [[1, 2], [3]] }] }, 'data[1] must be a list of 2'],
    ['data that are no list', { inputs: [{ ...features, data: 1 }] }, 'data must be a list'],
    [
      'null among numbers',
      { inputs: [{ ...features, data: [1, 2, null, 4] }] },
      'element 2 must be a number, found null',
    ],
    [
      'text among numbers',
      { inputs: [{ ...features, data: [1, '2', 3, 4] }] },
      'element 1 must be a number, found "2"',
    ],
    [
      'a number too large for float32',
      { inputs: [{ ...features, data: [1, 2, 3, 1e300] }] },
      'FP32 can hold',
    ],
    [
      'a number among text',
      { inputs: [{ ...colour, data: ['a', 1] }] },
      'element 1 must be a string, found 1',
    ],
    [
      'inputs of different rows',
      { inputs: [features, { ...colour, shape: [1, 1], data: ['red'] }] },
      'with N = 2',
    ],
    [
      'text that the runtime would cut off',
      { inputs: [features, { ...colour, data: ['red\0', ''] }] },
      'U+0000',
    ],
    ['an id that is no text', { id: 1, inputs: [] }, 'id must be a string'],
    [
      'parameters that are none',
      { inputs: [features, { ...colour, parameters: [] }] },
      'parameters must be an object',
    ],
    [
      'parameters of an output that are none',
      { inputs: [features, colour], outputs: [{ name: 'label', parameters: 'all' }] },
      'parameters must be an object',
    ],
    ['an unknown output', { inputs: [features, colour], outputs: [{ name: 'y' }] }, 'no output y'],
    [
      'an output twice',
      { inputs: [features, colour], outputs: [{ name: 'label' }, { name: 'label' }] },
      'asked for twice',
    ],
  ])('refuses %s', async (_what, request, message) => {
    const { status, body } = await infer(request);
    expect(status).toBe(400);
    expect(Object.keys(body)).toEqual(['error']);
    expect(body.error).toContain(message);
  });

  it('refuses other content types', async () => {
    const url = `${server.url}/v2/models/flowers/infer`;
    expect((await post(url, '{}', { 'content-type': 'application/octet-stream' })).status).toBe(415);
  });
});

describe('element types', () => {
  const values: Record<string, [datatype: string, data: string]> = {
    int64: ['INT64', '[9223372036854775807,-9223372036854775808]'],
    uint64: ['UINT64', '[18446744073709551615,9007199254740993]'],
    int32: ['INT32', '[2147483647,-2147483648]'],
    uint8: ['UINT8', '[255,0]'],
    bool: ['BOOL', '[true,false]'],
    float64: ['FP64', '[0.1,-1.7976931348623157e+308]'],
    float32: ['FP32', '[0.5,-16777216]'],
    string: ['BYTES', '["Ωmega \\"quoted\\" é",""]'],
  };
  const request = (changed: Record<string, string> = {}): string => {
    const inputs = Object.entries(values).map(
      ([name, [datatype, data]]) =>
        `{"name":"${name}","datatype":"${datatype}","shape":[1,2],"data":${changed[name] ?? data}}`,
    );
    return `{"inputs":[${inputs.join(',')}]}`;
  };

  it('come back as they went in, 64-bit integers in full', async () => {
    const response = await echoes.post('/v2/models/echo/infer', request());
    expect(response.status).toBe(200);
    const text = await response.text();
    for (const [name, [datatype, data]] of Object.entries(values)) {
      expect(text).toContain(`{"name":"${name}_out","datatype":"${datatype}","shape":[1,2],"data":${data}}`);
    }
  });

  it.each([
    ['int64', '[9223372036854775808,0]'],
    ['int64', '[1.5,0]'],
    ['int64', '[9007199254740993.0,0]'],
    ['uint64', '[-1,0]'],
    ['int32', '[2147483648,0]'],
    ['uint8', '[256,0]'],
    ['bool', '[1,0]'],
    ['string', '[null,""]'],
    ['float64', '["1",2]'],
  ])('refuses %s %s', async (name, data) => {
    const response = await echoes.post('/v2/models/echo/infer', request({ [name]: data }));
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: string }).error).toContain(
      `input ${name}: element 0 must be`,
    );
  });
});
