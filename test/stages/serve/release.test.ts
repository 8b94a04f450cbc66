import { appendFile, cp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MaasError } from '../../../src/errors.js';
import type { NdArray } from '../../../src/ir/tensor.js';
import { loadModel } from '../../../src/stages/serve/loaded-model.js';
import { takeRows } from '../../../src/runtime/rows.js';
import { readRelease } from '../../../src/stages/serve/release.js';
import { flowers, lookup, makeShelf, rowOf, type Shelf } from './releases.js';

const options = { threads: 1, maxBatchSize: 8, maxQueue: 10 };
let shelf: Shelf;
let release: string;
beforeAll(async () => {
  shelf = await makeShelf();
  release = await shelf.add(flowers());
});
afterAll(() => shelf.remove());

async function refusal(path: string): Promise<MaasError> {
  const error = await loadModel(path, options).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MaasError);
  return error as MaasError;
}

let copies = 0;
/** A copy under a name of its own, for a test to damage. */
async function copy(name = `copy-${copies++}`): Promise<string> {
  const path = join(shelf.root, name);
  await cp(release, path, { recursive: true });
  return path;
}

describe('a whole release', () => {
  it('is named by the digest of its manifest, under any folder name', async () => {
    const moved = await copy();
    const { digest, signature } = await readRelease(moved);
    expect(release.endsWith(digest)).toBe(true);
    expect(signature.name).toBe('flowers');
  });

  it('is served from memory: the folder may go away', async () => {
    const path = await copy();
    const model = await loadModel(path, options);
    await rm(path, { recursive: true });
    const outputs = await model.predict(rowOf(flowers().inputs, 0));
    expect(outputs['label']!.dims).toEqual([1]);
    await model.close();
    await expect(model.predict(rowOf(flowers().inputs, 0))).rejects.toThrow('being unloaded');
  });

  it('may have its weights in a file of their own, which is checked too', async () => {
    const path = await shelf.add(lookup(1000), { external: true });
    const model = await loadModel(path, options);
    const outputs = await model.predict({
      index: { dtype: 'int64', dims: [1], data: BigInt64Array.of(999n) },
    });
    expect(outputs['prediction']!.data[0]).toBe(10_000);
    await model.close();
    await appendFile(join(path, 'model.onnx.data'), 'x');
    expect((await refusal(path)).message).toContain('model.onnx.data is not the file');
  });

  it('batches where rows keep to themselves', async () => {
    const model = await loadModel(release, options);
    expect(model.batching).toBe(true);
    await model.close();
    const other = await loadModel(await shelf.add(lookup()), options);
    expect(other.batching).toBe(true);
    await other.close();
  });

  it('runs each row by itself where a row changes the answers to its neighbours', async () => {
    // Alone, a row minus the mean of its batch is zero; in company it is not.
    const model = await loadModel(await shelf.add(flowers({ mixing: true })), options);
    expect(model.batching).toBe(false);
    expect(model.unbatched).toContain('depends on the rows beside it');
    const inputs = flowers().inputs;
    const alone = await model.predict(rowOf(inputs, 0));
    const crowd = await Promise.all([0, 1, 2, 3].map((row) => model.predict(rowOf(inputs, row))));
    expect(crowd[0]).toEqual(alone);
    const list = await model.predict(inputs);
    expect(takeRows(list['probabilities']!, 0, 1)).toEqual(alone['probabilities']);
    await model.close();
  });
});

describe('inputs', () => {
  const { features, colour } = flowers().inputs;
  it.each<[string, Record<string, NdArray>, string]>([
    ['a missing input', { features: features! }, 'input colour is missing'],
    [
      'another type',
      { features: { dtype: 'float64', dims: [4, 2], data: new Float64Array(8) }, colour: colour! },
      'wants float32 [N, 2], not float64',
    ],
    [
      'another width',
      { features: { dtype: 'float32', dims: [4, 1], data: new Float32Array(4) }, colour: colour! },
      'not [4, 1]',
    ],
    [
      'too little data',
      { features: { dtype: 'float32', dims: [4, 2], data: new Float32Array(7) }, colour: colour! },
      '7 values do not fill [4, 2]',
    ],
    [
      'rows that differ',
      { features: features!, colour: { dtype: 'string', dims: [1, 1], data: ['red'] } },
      'with N = 4',
    ],
    ['an input too many', { features: features!, colour: colour!, toString: colour! }, 'no input toString'],
  ])('with %s never reach the runtime', async (_what, inputs, message) => {
    const model = await loadModel(release, options);
    await expect(model.predict(inputs)).rejects.toMatchObject({ status: 400 });
    await expect(model.predict(inputs)).rejects.toThrow(message);
    await model.close();
  });
});

describe('a damaged release', () => {
  it.each([
    [
      'a changed model',
      (path: string) => appendFile(join(path, 'model.onnx'), 'x'),
      'model.onnx is not the file',
    ],
    [
      'a changed signature',
      (path: string) => writeFile(join(path, 'signature.json'), '{}'),
      'signature.json is not the file',
    ],
    ['a lost file', (path: string) => rm(join(path, 'golden.json')), 'golden.json is missing'],
    [
      'half a manifest',
      (path: string) => writeFile(join(path, 'manifest.json'), '{"schema'),
      'manifest.json is not JSON',
    ],
    [
      'a foreign manifest',
      (path: string) =>
        writeFile(join(path, 'manifest.json'), '{"schemaVersion":1,"kind":"model","files":{}}'),
      'not the manifest of a release',
    ],
    [
      'a manifest without a model',
      (path: string) =>
        writeFile(join(path, 'manifest.json'), '{"files":{},"kind":"release","schemaVersion":1}'),
      'it has no',
    ],
    [
      'a manifest that reaches outside',
      (path: string) =>
        writeFile(
          join(path, 'manifest.json'),
          '{"files":{"../x":{"sha256":"","size":0}},"kind":"release","schemaVersion":1}',
        ),
      'no path inside the folder',
    ],
  ])('with %s is refused', async (_what, damage, message) => {
    const path = await copy();
    await damage(path);
    const error = await refusal(path);
    expect(error.code).toBe('MAAS_ARTIFACT_CORRUPT');
    expect(error.message).toContain(message);
  });

  it('is refused when its manifest is not the one that names the folder', async () => {
    const draft = await copy();
    const manifest = await readFile(join(draft, 'manifest.json'), 'utf8');
    await writeFile(join(draft, 'manifest.json'), manifest.replace('"seed":1', '"seed":2'));
    const path = join(shelf.root, release.slice(-64));
    await rename(draft, path);
    const error = await refusal(path);
    expect(error.code).toBe('MAAS_ARTIFACT_CORRUPT');
    expect(error.message).toContain('not that of its folder');
  });

  it('is refused when its model is no model', async () => {
    const path = await shelf.add({ ...flowers(), model: Buffer.from('no model') }, { goldenFrom: flowers() });
    expect((await refusal(path)).code).toBe('MAAS_MODEL_INVALID');
  });

  it('is told from one that is not there', async () => {
    expect((await refusal(join(shelf.root, 'nowhere'))).code).toBe('MAAS_RELEASE_MISSING');
    expect((await refusal(shelf.root)).code).toBe('MAAS_RELEASE_MISSING');
  });

  it('is refused when this machine does not give the golden outputs', async () => {
    const sample = flowers();
    const other = flowers({ bias: 0.5 });
    const path = await shelf.add(sample, { goldenFrom: other });
    const error = await refusal(path);
    expect(error.code).toBe('MAAS_VERIFY_FAILED');
    expect(error.exitCode).toBe(3);
    expect(error.message).toMatch(/probabilities\[\d\] is .* and not/);
  });
});
