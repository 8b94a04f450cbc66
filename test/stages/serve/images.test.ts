import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataSchema, loadDataset } from '../../../src/data/index.js';
import { lineOf, sliceColumn } from '../../../src/data/rows.js';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { attr } from '../../../src/ir/graph.js';
import { encodeModel } from '../../../src/ir/onnx/save.js';
import { tensor } from '../../../src/ir/tensor.js';
import { flowers, makeShelf, type Sample, type Shelf } from './releases.js';
import { start, type Served } from './start.js';

const [height, width] = [4, 5];
const weights = Array.from({ length: 3 * height * width }, (_, at) => (at * 7) % 61);
const kinds = ['photo.jpeg', 'turned.jpeg', 'clear.webp', 'gray.png'];
let root: string;
let shelf: Shelf;
let server: Served;
/** What the model says to the pixels that training has of each file: whole numbers, so that none can be off. */
const expected: number[] = [];
const files: string[] = [];

/** The weighted sum of all pixels, which no other image has. */
function summing(features: Sample['signature']['features']): Sample {
  const graph = new GraphBuilder('summing');
  graph.input('image', 'uint8', ['N', 3, height, width]);
  const pixels = graph.op('Cast', ['image'], { to: attr.int(1) });
  const factors = graph.constant(tensor('float32', [3, height, width], weights));
  const sum = graph.op('ReduceSum', [graph.op('Mul', [pixels, factors]), graph.int64s([1, 2, 3])], {
    keepdims: attr.int(0),
  });
  graph.output(sum, 'prediction');
  const opsets = { '': 21 };
  return {
    model: encodeModel({ irVersion: 10, opsets, producer: 'test', graph: graph.build(), metadata: {} }),
    signature: {
      schemaVersion: 1,
      name: 'summing',
      task: 'regression',
      features,
      inputs: [{ name: 'image', dtype: 'uint8', shape: ['N', 3, height, width] }],
      outputs: [{ name: 'prediction', dtype: 'float32', shape: ['N'] }],
      target: { name: 'sum' },
      data: { digest: '' },
    },
    inputs: {
      image: { dtype: 'uint8', dims: [1, 3, height, width], data: Uint8Array.from(weights) },
    },
  };
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-serve-images-'));
  await mkdir(join(root, 'images'));
  const lines: string[] = [];
  for (let row = 0; row < 12; row++) {
    const kind = kinds[row % 4]!;
    const noise = Uint8Array.from(
      { length: 30 * 20 * 4 },
      (_, at) => (at * (row + 3) + ((at * at) >> 3)) % 256,
    );
    const image = sharp(noise, { raw: { width: 30, height: 20, channels: 4 } });
    if (kind === 'turned.jpeg') image.withMetadata({ orientation: 6 });
    if (kind === 'gray.png') image.toColourspace('b-w');
    const name = `images/${row}-${kind}`;
    await image.toFile(join(root, name));
    files.push(join(root, name));
    lines.push(`${name},${row}`);
  }
  await writeFile(join(root, 'list.csv'), `image,sum\n${lines.join('\n')}\n`);
  const dataset = await loadDataset(
    dataSchema.parse({
      source: 'list.csv',
      target: 'sum',
      task: 'regression',
      types: { image: 'image' },
      images: { size: [height, width], background: '#405060' },
    }),
    { root, seed: 1, name: 'summing' },
  );
  for (const table of Object.values(dataset.splits)) {
    for (let row = 0; row < table.rows; row++) {
      const pixels = sliceColumn(table.inputs['image']!, row, row + 1).data as Uint8Array;
      expected[lineOf(table, row) - 2] = pixels.reduce((sum, value, at) => sum + value * weights[at]!, 0);
    }
  }
  shelf = await makeShelf();
  server = await start(await shelf.add(summing(dataset.signature.features)));
});
afterAll(async () => {
  await server.stop();
  await shelf.remove();
  await rm(root, { recursive: true });
});

async function ask(body: unknown): Promise<{ status: number; body: unknown }> {
  const response = await server.post('/predict', body);
  return { status: response.status, body: await response.json() };
}

const send = (body: string | Buffer<ArrayBuffer>, type: string, to: Served = server): Promise<Response> =>
  fetch(`${to.url}/predict`, { method: 'POST', headers: { 'content-type': type }, body });

describe('POST /predict with images', () => {
  it('sees the pixels that training saw, however the file is sent', async () => {
    expect(new Set(expected).size).toBe(12);
    const texts = await Promise.all(files.map((file) => readFile(file, 'base64')));
    const rows = texts.map((text, row) => {
      const image = [text, `data:image/jpeg;base64,${text}`, text.replace(/.{76}/g, '$&\n')][row % 3]!;
      return { image };
    });
    expect(await ask(rows)).toEqual({ status: 200, body: expected.map((prediction) => ({ prediction })) });
    for (const row of [0, 1, 2, 3]) {
      const answer = await send(await readFile(files[row]!), `image/${files[row]!.split('.').at(-1)!}`);
      expect(await answer.json()).toEqual({ prediction: expected[row] });
    }
  });

  it('names the row and the field of what is no image', async () => {
    const image = await readFile(files[3]!, 'base64');
    const { status, body } = await ask([
      { image },
      { image: 'not base64!' },
      { image: Buffer.from('hello').toString('base64') },
      { image: image.slice(0, 400) },
      { image: '' },
      { image: 7 },
      { image: null },
      {},
      'image',
    ]);
    expect(status).toBe(400);
    const { problems } = body as { problems: { row: number; field?: string; message: string }[] };
    expect(problems).toEqual([
      { row: 1, field: 'image', message: expect.stringMatching(/is no base64$/) as string },
      { row: 2, field: 'image', message: expect.stringMatching(/is no JPEG, PNG, WebP/) as string },
      { row: 3, field: 'image', message: expect.stringMatching(/is damaged or cut off/) as string },
      { row: 4, field: 'image', message: expect.stringMatching(/is empty$/) as string },
      { row: 5, field: 'image', message: expect.stringMatching(/found the number 7$/) as string },
      { row: 6, field: 'image', message: expect.stringMatching(/found null$/) as string },
      { row: 7, field: 'image', message: expect.stringMatching(/is missing$/) as string },
      { row: 8, message: expect.stringMatching(/expected an object/) as string },
    ]);
    const raw = await send('not an image', 'image/png');
    expect(raw.status).toBe(400);
    const own = await ask(JSON.parse('{"__proto__": {"image": "x"}}'));
    expect(own.status).toBe(400);
  });

  it('takes the bytes of an image for a model of images alone', async () => {
    const other = await start(await shelf.add(flowers()));
    try {
      expect((await send(await readFile(files[0]!), 'image/jpeg', other)).status).toBe(415);
    } finally {
      await other.stop();
    }
  });

  it('takes raw pixels through Open Inference', async () => {
    const data = Array.from(weights, (_, at) => at % 256);
    const shape = [1, 3, height, width];
    const inputs = [{ name: 'image', datatype: 'UINT8', shape, data }];
    const response = await server.post('/v2/models/summing/infer', { inputs });
    const sum = data.reduce((total, value, at) => total + value * weights[at]!, 0);
    expect(await response.json()).toMatchObject({ outputs: [{ name: 'prediction', data: [sum] }] });
  });

  it('is described in /openapi.json and has a field to drop an image into at /', async () => {
    const api = (await (await server.get('/openapi.json')).json()) as {
      paths: Record<string, { post: { requestBody: { content: object } } }>;
    };
    expect(Object.keys(api.paths['/predict']!.post.requestBody.content)).toEqual([
      'application/json',
      'image/*',
    ]);
    const page = await fetch(`${server.url}/`, { headers: { accept: 'text/html' } });
    expect(page.headers.get('content-security-policy')).toContain('img-src data:');
    expect(await page.text()).toContain("type: 'file'");
  });
});
