import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tfServingProtocol } from '../../../src/stages/serve/index.js';
import { echo, flowers, lookup, makeShelf, type Shelf } from './releases.js';
import { start, type Served } from './start.js';

const protocols = [tfServingProtocol];
let shelf: Shelf;
let server: Served;
let lookups: Served;
let echoes: Served;
beforeAll(async () => {
  shelf = await makeShelf();
  server = await start(await shelf.add(flowers()), { protocols });
  lookups = await start(await shelf.add(lookup()), { protocols });
  echoes = await start(await shelf.add(echo()), { protocols });
});
afterAll(async () => {
  await Promise.all([server.stop(), lookups.stop(), echoes.stop()]);
  await shelf.remove();
});

const url = '/v1/models/flowers:predict';
const answer = async (response: Response): Promise<unknown> => response.json();

describe('predict', () => {
  const instances = [
    { features: [3, -1], colour: ['yellow'] },
    { features: [0.5, 2], colour: [{ b64: Buffer.from('red').toString('base64') }] },
  ];
  const inputs = {
    features: [
      [3, -1],
      [0.5, 2],
    ],
    colour: [['yellow'], ['red']],
  };

  it('gives rows for instances and columns for inputs, with the same values', async () => {
    const rows = (await answer(await server.post(url, { signature_name: 'serving_default', instances }))) as {
      predictions: { label: string; probabilities: number[] }[];
    };
    const columns = (await answer(await server.post(url, { inputs }))) as {
      outputs: { label: string[]; probabilities: number[][] };
    };
    expect(rows.predictions).toHaveLength(2);
    expect(rows.predictions.map(({ label }) => label)).toEqual(columns.outputs.label);
    expect(rows.predictions.map(({ probabilities }) => probabilities)).toEqual(columns.outputs.probabilities);
    expect(columns.outputs.probabilities[0]!.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
    const versioned = `/v1/models/flowers/versions/${server.digest}:predict`;
    expect(await answer(await server.post(versioned, { instances }))).toEqual(rows);
  });

  it('names neither the only input nor the only output', async () => {
    const path = '/v1/models/lookup:predict';
    expect(await answer(await lookups.post(path, { instances: [1, 0] }))).toEqual({ predictions: [20, 10] });
    expect(await answer(await lookups.post(path, { instances: [{ index: 3 }] }))).toEqual({
      predictions: [40],
    });
    expect(await answer(await lookups.post(path, { inputs: [2] }))).toEqual({ outputs: [30] });
    expect(await answer(await lookups.post(path, { inputs: { index: [2] } }))).toEqual({ outputs: [30] });
    expect(await answer(await lookups.post(path, { instances: [] }))).toEqual({ predictions: [] });
  });

  it('keeps every digit of 64-bit integers', async () => {
    const row =
      '{"int64":[9223372036854775807,-1],"uint64":[18446744073709551615,0],"int32":[1,2],"uint8":[1,2],' +
      '"bool":[true,false],"float64":[0.1,2],"float32":[0.5,2],"string":["ß",""]}';
    const response = await echoes.post('/v1/models/echo:predict', `{"instances":[${row}]}`);
    expect(await response.text()).toBe(`{"predictions":[${row.replace(/":/g, '_out":')}]}`);
  });

  it.each([
    ['neither', {}, 'neither instances nor inputs'],
    ['both', { instances, inputs }, 'both instances and inputs'],
    ['no object', [], 'must be an object'],
    ['another signature', { signature_name: 'x', instances }, 'no signature "x"'],
    ['instances that are no list', { instances: 1 }, 'must be a list'],
    ['a missing input', { instances: [{ features: [1, 2] }] }, 'instances[0] has no colour'],
    ['an unknown input', { inputs: { ...inputs, x: 1 } }, 'no input x'],
    [
      'bare values for several inputs',
      { instances: [[1, 2]] },
      'instances[0] must be an object with features, colour',
    ],
    ['another size', { inputs: { ...inputs, features: [[1], [2]] } }, 'wants float32 [N, 2]'],
    ['another rank', { inputs: { ...inputs, features: [1, 2] } }, 'wants float32 [N, 2]'],
    ['a scalar', { inputs: { ...inputs, features: 1 } }, 'wants float32 [N, 2]'],
    ['ragged lists', { inputs: { ...inputs, features: [[1, 2], [3]] } }, 'data[1] must be a list of 2'],
    [
      'text for numbers',
      {
        inputs: {
          ...inputs,
          features: [
            [1, 'a'],
            [1, 2],
          ],
        },
      },
      'element 1 must be a number',
    ],
    ['bytes that are no text', { inputs: { ...inputs, colour: [[{ b64: '/w==' }], ['red']] } }, 'not UTF-8'],
  ])('refuses %s', async (_what, body, message) => {
    const response = await server.post(url, body);
    expect(response.status).toBe(400);
    expect(((await answer(response)) as { error: string }).error).toContain(message);
  });
});

describe('status and metadata', () => {
  it('tells the version that is served', async () => {
    const status = { error_code: 'OK', error_message: '' };
    expect(await answer(await server.get('/v1/models/flowers'))).toEqual({
      model_version_status: [{ version: server.digest, state: 'AVAILABLE', status }],
    });
  });

  it('describes the signature', async () => {
    const body = (await answer(await server.get('/v1/models/flowers/metadata'))) as {
      metadata: { signature_def: { signature_def: { serving_default: { inputs: unknown } } } };
    };
    expect(body).toMatchObject({ model_spec: { name: 'flowers', version: server.digest } });
    expect(body.metadata.signature_def.signature_def.serving_default.inputs).toMatchObject({
      features: {
        dtype: 'DT_FLOAT',
        tensor_shape: {
          dim: [
            { size: '-1', name: '' },
            { size: '2', name: '' },
          ],
          unknown_rank: false,
        },
      },
      colour: { dtype: 'DT_STRING' },
    });
  });

  it.each([
    ['/v1/models/tulips', 404],
    ['/v1/models/flowers/versions/1', 404],
    ['/v1/models/flowers:predict', 405],
    ['/v1/models/flowers:classify', 404],
    ['/v1/models', 404],
  ])('answers GET %s with %i and an error', async (path, status) => {
    const response = await server.get(path);
    expect(response.status).toBe(status);
    expect(await answer(response)).toEqual({ error: expect.any(String) as string });
  });
});
