import * as zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flowers, makeShelf, type Shelf } from './releases.js';
import { post, start, type Served } from './start.js';

let shelf: Shelf;
let server: Served;
beforeAll(async () => {
  shelf = await makeShelf();
  server = await start(await shelf.add(flowers()));
});
afterAll(async () => {
  await server.stop();
  await shelf.remove();
});

interface Prediction {
  label: string;
  probabilities: Record<string, number>;
}
const row = { height: 3, width: -1, colour: 'yellow' };

async function predict(body: unknown): Promise<{ status: number; body: unknown }> {
  const response = await server.post('/predict', body);
  return { status: response.status, body: await response.json() };
}

describe('POST /predict', () => {
  it('answers an object with an object', async () => {
    const { status, body } = await predict(row);
    expect(status).toBe(200);
    const { label, probabilities } = body as Prediction;
    expect(Object.keys(probabilities)).toEqual(['tulip', 'rose', 'daisy']);
    const best = Object.entries(probabilities).sort((a, b) => b[1] - a[1])[0]![0];
    expect(label).toBe(best);
    expect(Object.values(probabilities).reduce((a, b) => a + b)).toBeCloseTo(1, 6);
  });

  it('answers a list with a list of the same order', async () => {
    const rows = [row, { ...row, colour: 'red', height: -4 }, { ...row, width: 9 }];
    const singles = await Promise.all(rows.map(async (each) => (await predict(each)).body as Prediction));
    const { body } = await predict(rows);
    const together = body as Prediction[];
    expect(together.map(({ label }) => label)).toEqual(singles.map(({ label }) => label));
    expect(new Set(together.map(({ probabilities }) => probabilities['tulip'])).size).toBe(3);
    for (const [index, { probabilities }] of together.entries()) {
      for (const [name, value] of Object.entries(probabilities)) {
        expect(value).toBeCloseTo(singles[index]!.probabilities[name]!, 6);
      }
    }
  });

  it('answers an empty list with an empty list', async () => {
    expect(await predict([])).toEqual({ status: 200, body: [] });
  });

  it('takes a category that training did not see', async () => {
    expect((await predict({ ...row, colour: 'mauve' })).status).toBe(200);
  });

  it('names row and field of each problem', async () => {
    const { status, body } = await predict([row, { height: 'tall', colour: 'red', weight: 1 }]);
    expect(status).toBe(400);
    const { error, problems } = body as { error: string; problems: { row: number; field: string }[] };
    expect(error).toContain('3 problems');
    expect(problems.map((problem) => problem.row)).toEqual([1, 1, 1]);
    expect(problems.map((problem) => problem.field).sort()).toEqual(['height', 'weight', 'width']);
  });

  it.each(['null', '3', '"x"', '[null]', '[[1]]', '{}', '{"height":null,"width":1,"colour":"red"}'])(
    'refuses %s',
    async (text) => {
      const { status, body } = await predict(text);
      expect(status).toBe(400);
      expect((body as { error: string }).error).not.toBe('');
    },
  );

  it.each([
    ['{"height": 1,\n "width": }', 'line 2, column 11'],
    ['[1, 2', 'line 1, column 6'],
    ['{"a": 1} x', 'line 1, column 10'],
    ["{'a': 1}", 'line 1, column 2'],
    ['{"a": 01}', 'line 1, column 8'],
    ['{"a": NaN}', 'line 1, column 7'],
  ])('places the mistake in %s', async (text, place) => {
    const { status, body } = await predict(text);
    expect(status).toBe(400);
    expect((body as { error: string }).error).toContain(`malformed JSON: `);
    expect((body as { error: string }).error).toContain(place);
  });

  it('refuses an empty body, other content types, other encodings, other methods and bad UTF-8', async () => {
    const url = `${server.url}/predict`;
    expect((await post(url, '')).status).toBe(400);
    expect((await post(url, JSON.stringify(row), { 'content-type': 'text/plain' })).status).toBe(415);
    for (const encoding of ['br', 'constructor'])
      expect((await post(url, JSON.stringify(row), { 'content-encoding': encoding })).status).toBe(415);
    const get = await server.get('/predict');
    expect(get.status).toBe(405);
    expect(get.headers.get('allow')).toBe('POST');
    const bytes = await fetch(url, { method: 'POST', body: Buffer.from([0x22, 0xff, 0x22]) });
    expect(await bytes.json()).toEqual({ error: 'the body is not valid UTF-8' });
  });

  type Pack = (body: string | Buffer) => Buffer;
  const zstd = (zlib as { zstdCompressSync?: Pack }).zstdCompressSync;

  it.runIf(zstd === undefined)('names what it unpacks; zstd needs Node.js 22.15', async () => {
    const packed = await post(`${server.url}/predict`, '(\u00b5/\u00fd', { 'content-encoding': 'zstd' });
    expect(packed.status).toBe(415);
    expect(packed.headers.get('accept-encoding')).toBe('gzip, deflate');
    expect(await packed.json()).toEqual({
      error: 'content encoding zstd is not supported; send gzip, deflate, or the body as it is',
    });
  });

  it.each<[string, Pack]>([
    ['gzip', zlib.gzipSync],
    ['deflate', zlib.deflateSync],
    ...(zstd ? [['zstd', zstd] satisfies [string, Pack]] : []),
  ])('unpacks %s, within the limit of a body', async (encoding, pack) => {
    const send = (body: Buffer): Promise<Response> =>
      fetch(`${server.url}/predict`, { method: 'POST', body, headers: { 'content-encoding': encoding } });
    const whole = pack(JSON.stringify(row));
    expect((await send(whole)).status).toBe(200);
    const damaged = await send(whole.subarray(0, whole.length - 3));
    expect(damaged.status).toBe(400);
    expect(await damaged.json()).toEqual({
      error: expect.stringContaining(`not valid ${encoding}`) as string,
    });
    // 17 MB of blanks pack into some 17 kB.
    const bomb = await send(pack(Buffer.alloc(17 * 1024 * 1024, 0x20)));
    expect(bomb.status).toBe(413);
    expect(await bomb.json()).toEqual({ error: 'the unpacked body is larger than 16777216 bytes' });
  });

  it('takes a body without a content type, and one with a charset', async () => {
    const url = `${server.url}/predict`;
    const bytes = Buffer.from(JSON.stringify(row));
    expect((await fetch(url, { method: 'POST', body: bytes })).status).toBe(200);
    const typed = await post(url, row, { 'content-type': 'application/json; charset=utf-8' });
    expect(typed.status).toBe(200);
  });
});
