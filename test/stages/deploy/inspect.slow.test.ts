import { appendFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStore } from '../../../src/artifacts/index.js';
import type { Project, Release } from '../../../src/plugin/api.js';
import { canaryOptions } from '../../../src/stages/deploy/canary/options.js';
import { localTarget, openTarget, verifyDeployed } from '../../../src/stages/deploy/index.js';
import { deploy, makeContext, makeRoot } from '../../conformance/target-suite.js';
import { buildRelease, makeModel, makeProject, makeRelease, registry } from './make-release.js';
import { startServer, type TestServer } from './targets/local/traffic.js';

const key = 'a-key-of-sixteen-or-more';

describe('a server with a key and a certificate of its own', { timeout: 120_000 }, () => {
  let root: string;
  let project: Project;
  let releases: [Release, Release];
  let server: TestServer;

  beforeAll(async () => {
    root = await makeRoot('maas-secure-');
    const words = `req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=models.example -keyout key.pem -out cert.pem`;
    await execa('openssl', words.split(' '), { cwd: root });
    const plain = await makeProject(root);
    await appendFile(
      plain.configFile,
      `deploy: { target: local }\nserve: { keys: [${key}], tls: { cert: cert.pem, key: key.pem } }\n`,
    );
    const first = await makeRelease(root, 0, plain);
    const model = await makeModel(plain, first.store, 8);
    releases = [first.artifact, (await buildRelease(plain, first.store, model)).artifact];
    await deploy(localTarget, makeContext(root, localTarget.options.parse({})), releases[0]);
    server = await startServer(root);
    const serve = { port: Number(new URL(server.url).port), keys: [key], tls: { cert: 'cert.pem' } };
    project = { ...plain, config: { ...plain.config, serve } };
  }, 120_000);
  afterAll(async () => {
    await server.kill();
    await rm(root, { recursive: true, force: true });
  });

  const signal = new AbortController().signal;
  const look = (given: Project = project) =>
    verifyDeployed(openTarget({ project: given, registry, signal }), openStore(join(root, '.maas')));

  it('is asked for the release that it serves, and for its golden rows', async () => {
    const { release, checks } = await look();
    expect(release).toBe(releases[0].digest);
    expect(checks.map(({ name, state }) => [name, state])).toEqual([
      ['files', 'ok'],
      ['provenance', 'skipped'],
      ['answers', 'ok'],
      [`server at ${server.url}`, 'ok'],
    ]);
    expect(checks.at(-1)!.detail).toBe('it is this release, and answers 16 golden rows');
  });

  it('is found out when it serves another release than the one that is deployed', async () => {
    const elsewhere = { directory: 'elsewhere' };
    await deploy(localTarget, makeContext(root, localTarget.options.parse(elsewhere)), releases[1]);
    const target = { name: 'local', options: localTarget.options.parse(elsewhere) };
    const config = { ...project.config, deploy: { ...(project.config['deploy'] as object), target } };
    await expect(look({ ...project, config })).rejects.toMatchObject({
      code: 'MAAS_VERIFY_FAILED',
      exitCode: 3,
      message: expect.stringMatching(
        new RegExp(`serves ${releases[0].digest} instead of ${releases[1].digest}`),
      ) as string,
    });
  });

  it('tells the digest of a key apart from the key', async () => {
    const made = makeContext(root, localTarget.options.parse({}));
    const serve = { ...(project.config['serve'] as object), keys: [`sha256:${'0'.repeat(64)}`] };
    const closed = { ...project, config: { ...project.config, serve } };
    const canary = canaryOptions.parse({});
    await expect(
      deploy(localTarget, { ...made, project: closed, canary }, releases[1]),
    ).rejects.toMatchObject({
      code: 'MAAS_CANARY_SERVER',
      message: expect.stringContaining('asks for a key') as string,
    });
  });
});
