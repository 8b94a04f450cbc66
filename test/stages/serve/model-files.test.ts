import { link, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GraphBuilder } from '../../../src/ir/builder.js';
import { saveModel } from '../../../src/ir/onnx/save.js';
import { tensor } from '../../../src/ir/tensor.js';
import { readOnnxFile } from '../../../src/stages/serve/model-files.js';
import { rememberFiles } from '../../../src/stages/serve/remember-files.js';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maas-files-'));
  path = join(folder, 'model.onnx');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A product whose graph alone takes so many bytes, for its name, which comes before what is said of its weights. */
async function save(graphBytes: number, external: boolean): Promise<void> {
  const graph = new GraphBuilder('~'.repeat(graphBytes));
  graph.input('x', 'float32', ['N', 512]);
  graph.output(
    graph.op('MatMul', ['x', graph.constant(tensor('float32', [512, 300], new Float32Array(512 * 300)))]),
    'y',
  );
  const metadata = {};
  await saveModel(
    { irVersion: 10, opsets: { '': 21 }, producer: 'test', metadata, graph: graph.build() },
    path,
    { external },
  );
}

it.each([1000, 5_000_000])(
  'counts external weights, and names their files: a graph of %d bytes',
  async (bytes) => {
    await save(bytes, true);
    const files = await readOnnxFile(path);
    expect(files.model).toBe(path);
    expect(files.sources).toHaveLength(2);
    const sizes = await Promise.all(files.sources!.map(async (each) => (await stat(each)).size));
    expect(sizes[0]).toBeGreaterThan(bytes);
    expect(files.size).toBe(sizes[0]! + 4 * 512 * 300);
  },
);

it('takes what lies beside a model with all its weights for no weights of it', async () => {
  await save(5_000_000, false);
  await writeFile(join(folder, 'other.bin'), Buffer.alloc(200_000));
  const { size, sources } = await readOnnxFile(path);
  expect([size, sources]).toEqual([(await stat(path)).size, [path]]);
});

it('finds external weights wherever the graph names them', async () => {
  // What says so lies at another place each time, also between two pieces of the file.
  for (let shift = 0; shift < 12; shift++) {
    await save(4 * 2 ** 20 - 40 + 8 * shift, true);
    expect((await readOnnxFile(path)).sources).toHaveLength(2);
  }
});

it('tells files that are others now from those that are as they were, or gone', async () => {
  await save(10, true);
  const { sources } = await readOnnxFile(path);
  const verify = await rememberFiles(sources!);
  await verify();
  await link(path, join(folder, 'copy.onnx'));
  await verify();
  await rm(path);
  await verify();
  await writeFile(path, 'another');
  await expect(verify()).rejects.toMatchObject({ code: 'MAAS_MODEL_INVALID' });
});
