import { mkdir, mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../../src/ir/builder.js';
import { ModelProtoSchema } from '../../src/ir/onnx/onnx.generated.js';
import { encodeModel, saveModel } from '../../src/ir/onnx/save.js';
import { tensor } from '../../src/ir/tensor.js';
import { fileNames, findPrepared, placeOf, trialOf } from '../../src/runtime/prepared/place.js';
import { prepare } from '../../src/runtime/prepared/prepare.js';
import { openSession, type Feeds } from '../../src/runtime/session.js';

/** Sizes after which no blob would begin at an even place. */
const sizes = [3, 37, 101, 53, 7];
const requests: Feeds[] = [1, 5].map((rows) => ({
  x: {
    dtype: 'float32',
    dims: [rows, 3],
    data: Float32Array.from({ length: 3 * rows }, (_, at) => Math.sin(at)),
  },
}));

function makeModel(scale = 1) {
  const graph = new GraphBuilder('odd');
  let value = graph.input('x', 'float32', ['N', 3]);
  sizes.slice(1).forEach((units, layer) => {
    const dims = [sizes[layer]!, units];
    const weights = Float32Array.from({ length: dims[0]! * units }, (_, at) => scale * Math.cos(at + layer));
    value = graph.op('MatMul', [value, graph.constant(tensor('float32', dims, weights))]);
    const bias = Float32Array.from({ length: units }, (_, at) => at / units);
    value = graph.op('Relu', [graph.op('Add', [value, graph.constant(tensor('float32', [units], bias))])]);
  });
  graph.output(value, 'y');
  const rest = { irVersion: 10, opsets: { '': 20 }, producer: 'test', metadata: {} };
  return { ...rest, graph: graph.build() };
}

let folder: string;
let path: string;
let place: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maas-prepared-'));
  path = join(folder, 'model.onnx');
  place = await placeOf(join(folder, 'cache'), path);
  await writeFile(path, encodeModel(makeModel()));
});
afterEach(() => rm(folder, { recursive: true }));

describe('a prepared model', () => {
  it('gives the same bits, from weights that lie where kernels can read them', async () => {
    await prepare({ path, place, requests });
    const found = await findPrepared(place, path);
    expect(found).toEqual({ path: join(place, fileNames.model) });
    const [one, other] = [
      await openSession(path),
      await openSession(found.path!, { optimization: 'disabled' }),
    ];
    for (const feeds of requests) expect(await other.run(feeds)).toEqual(await one.run(feeds));
    const { graph } = fromBinary(ModelProtoSchema, await readFile(found.path!));
    const entries = graph!.initializer.flatMap(({ externalData }) => externalData);
    const packed = entries.filter(({ key }) => key.startsWith('prepacked'));
    const offsets = [
      ...entries.filter(({ key }) => key === 'offset').map(({ value }) => Number(value)),
      ...packed.flatMap(({ value }) => value.split('|').slice(1).map(parseFloat)),
    ];
    expect(packed.length).toBeGreaterThan(0);
    expect(offsets.filter((offset) => offset % 64 !== 0)).toEqual([]);
    expect(await readdir(join(folder, 'cache', 'prepared'))).toHaveLength(1);
  });

  it('is not used for a model that has changed, nor when it is not whole', async () => {
    await saveModel(makeModel(), path, { external: true });
    await prepare({ path, place, requests });
    expect(await findPrepared(place, path)).toHaveProperty('path');
    // The model's own file stays the same.
    await saveModel(makeModel(2), path, { external: true });
    expect(await findPrepared(place, path)).toEqual({});
    await prepare({ path, place, requests });
    expect(await findPrepared(place, path)).toHaveProperty('path');
    const weights = join(place, fileNames.weights);
    const bytes = await readFile(weights);
    // As long as before.
    await writeFile(weights, bytes.reverse());
    expect(await findPrepared(place, path)).toEqual({});
    await prepare({ path, place, requests });
    expect(await findPrepared(place, path)).toHaveProperty('path');
    await truncate(weights, 1000);
    expect(await findPrepared(place, path)).toEqual({});
  });

  it('is refused once a process has died while it opened it', async () => {
    await prepare({ path, place, requests });
    await writeFile(trialOf(place), '');
    expect(await findPrepared(place, path)).toHaveProperty('path');
    await writeFile(trialOf(place, 2 ** 22 + 1), '');
    expect(await findPrepared(place, path)).toEqual({ refused: true });
    expect(await readdir(place)).toEqual([fileNames.facts]);
  });

  it('is refused once a process with the number of this one has died, as in a container that starts again', async () => {
    await prepare({ path, place, requests });
    await writeFile(trialOf(place), '');
    const before = new Date(performance.timeOrigin - 1000);
    await utimes(trialOf(place), before, before);
    expect(await findPrepared(place, path)).toEqual({ refused: true });
  });

  it('is tried again where no process could be started for it', async () => {
    const { execPath } = process;
    process.execPath = join(folder, 'none');
    try {
      await expect(prepare({ path, place, requests })).rejects.toThrow(/ENOENT|EPIPE/);
    } finally {
      process.execPath = execPath;
    }
    expect(await findPrepared(place, path)).toEqual({});
  });

  it('is not tried again when it cannot be made, and leaves nothing behind', async () => {
    await mkdir(place, { recursive: true });
    await writeFile(path, 'no model');
    await expect(prepare({ path, place, requests })).rejects.toThrow('ONNX');
    expect(await findPrepared(place, path)).toEqual({ refused: true });
    expect(await readdir(join(folder, 'cache', 'prepared'))).toHaveLength(1);
    await writeFile(path, encodeModel(makeModel()));
    expect(await findPrepared(place, path)).toEqual({});
  });
});
