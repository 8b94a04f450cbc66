import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GraphBuilder } from '../../../../src/ir/builder.js';
import { encodeModel } from '../../../../src/ir/onnx/save.js';
import { tensor } from '../../../../src/ir/tensor.js';
import { fileNames, placeOf } from '../../../../src/runtime/prepared/place.js';
import { prepare } from '../../../../src/runtime/prepared/prepare.js';
import { SpareThread } from '../../../../src/runtime/thread/spare-thread.js';
import { startSpare } from '../../../../src/stages/serve/start-spare.js';
import { openInferenceProtocol, serveService } from '../../../../src/stages/serve/index.js';
import { serveOptions } from '../../../../src/stages/serve/config.js';
import { createRegistry } from '../../../../src/plugin/registry.js';
import { apiVersion } from '../../../../src/plugin/api.js';
import { flowers, makeShelf, type Shelf } from '../releases.js';

let shelf: Shelf;
let path: string;
beforeAll(async () => {
  shelf = await makeShelf();
  path = await shelf.add(flowers());
});
afterAll(() => shelf.remove());

it.each([1, 0])('leaves no thread behind that was started ahead, with %i workers', async (workers) => {
  const spare = new SpareThread();
  const registration = { apiVersion, protocols: [openInferenceProtocol] };
  const service = await serveService.start({
    options: serveOptions.parse({ port: 0, workers }),
    registry: createRegistry([{ plugin: 'maas-cli', registration }]),
    source: { kind: 'release', path, follow: false },
    spare,
    signal: new AbortController().signal,
    emit: () => undefined,
  });
  expect(spare.take()).toBeUndefined();
  expect((await fetch(`${service.url}/v2/health/ready`)).status).toBe(200);
  await service.stop();
});

it('opens ahead what was prepared of the model, and says that it has survived that', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'maas-spare-'));
  const file = join(folder, 'large.onnx');
  const graph = new GraphBuilder('large');
  const weights = graph.constant(tensor('float32', [1024, 1100], new Float32Array(1024 * 1100).fill(0.5)));
  graph.output(graph.op('MatMul', [graph.input('x', 'float32', ['N', 1024]), weights]), 'y');
  const rest = { irVersion: 10, opsets: { '': 20 }, producer: 'test', metadata: {} };
  await writeFile(file, encodeModel({ ...rest, graph: graph.build() }));
  const place = await placeOf(folder, file);
  await prepare({ path: file, place, requests: [] });
  try {
    const whole = (await readdir(place)).sort();
    const spare = (await startSpare({ kind: 'file', path: file, follow: true }, { cache: folder }))!;
    while ((await readdir(place)).length === whole.length)
      await new Promise((resolve) => setTimeout(resolve, 1));
    while ((await readdir(place)).length > whole.length)
      await new Promise((resolve) => setTimeout(resolve, 1));
    // Open by now: it needs its file no more.
    await rm(join(place, fileNames.model));
    const thread = spare.take()!;
    const session = await thread.open(join(place, fileNames.model), { threads: 1, optimization: 'disabled' });
    expect(session.slots.inputs).toMatchObject([{ name: 'x' }]);
    await thread.close();
    expect(await startSpare({ kind: 'file', path: join(folder, 'none.onnx'), follow: true })).toBeUndefined();
  } finally {
    await rm(folder, { recursive: true });
  }
});
