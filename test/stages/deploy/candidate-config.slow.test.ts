import { createServer, type AddressInfo, type Server } from 'node:net';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Project } from '../../../src/plugin/api.js';
import { openTarget } from '../../../src/stages/deploy/index.js';
import { makeRoot } from '../../conformance/target-suite.js';
import { type Built, makeRelease, registry } from './make-release.js';

let root: string;
let built: Built;
let taken: Server;
let port: number;

beforeAll(async () => {
  root = await makeRoot('maas-candidate-');
  built = await makeRelease(join(root, 'project'));
  taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  port = (taken.address() as AddressInfo).port;
});
afterAll(async () => {
  taken.close();
  await rm(root, { recursive: true, force: true });
});

function verify(change: Partial<Project>) {
  const project = { ...built.project, ...change };
  const { signal } = new AbortController();
  return openTarget({ project, registry, signal }).context.verify(built.artifact);
}

it('a candidate is told what the command line says instead of the config', async () => {
  await expect(verify({ overrides: ['serve.maxBatchSize=none'] })).rejects.toMatchObject({
    code: 'MAAS_VERIFY_FAILED',
    message: expect.stringContaining('maxBatchSize') as string,
  });
  expect((await verify({ overrides: ['serve.drainTimeout=5'] })).rows).toBeGreaterThan(10);
}, 60_000);

it('a candidate leaves the gRPC port of the config to the server that has it', async () => {
  const config = { ...built.project.config, serve: { grpcPort: port } };
  const overrides = [`serve.grpcPort=${port}`];
  expect((await verify({ config, overrides })).rows).toBeGreaterThan(10);
}, 60_000);
