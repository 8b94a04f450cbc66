import { afterAll, beforeAll, expect, it } from 'vitest';
import { SpareThread } from '../../../../src/runtime/thread/spare-thread.js';
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
