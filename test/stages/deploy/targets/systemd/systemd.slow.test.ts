import { spawnSync } from 'node:child_process';
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeUnit } from '../../../../../src/stages/deploy/targets/systemd/unit.js';
import { maas, maasJson, makeProject, type RunJson, type TemporaryProject } from '../../../../e2e/maas.js';
import { hasProgram } from '../oci/registry-server.js';

const unit = {
  name: 'iris 100% "good"',
  node: process.execPath,
  script: '/srv/my models/bin/run.js',
  configFile: '/srv/$HOME/maas.config.yaml',
  root: '/srv/my models',
  scope: 'system',
  memory: '512M',
} as const;

describe.skipIf(!hasProgram('systemd-analyze'))('the unit', () => {
  let project: TemporaryProject;
  beforeAll(async () => {
    project = await makeProject();
  });
  afterAll(() => project.remove());

  it.each(['system', 'user'] as const)(
    'for the %s is what systemd takes, with few doors open',
    async (scope) => {
      const file = join(project.path, 'maas-iris.service');
      const root = project.path;
      await writeFile(file, writeUnit({ ...unit, scope, root, script: join(root, 'maas.config.yaml') }));
      const verified = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' });
      const complaints = verified.stderr.split('\n').filter((line) => line.includes('maas-iris'));
      expect(complaints).toEqual([]);
      const looked = spawnSync('systemd-analyze', ['security', '--offline=true', file], { encoding: 'utf8' });
      const exposure = Number(/exposure level[^:]*: ([\d.]+)/.exec(looked.stdout)?.[1]);
      expect(exposure).toBeLessThan(scope === 'system' ? 2.5 : 5);
    },
  );

  it('quotes what systemd would read otherwise', () => {
    const text = writeUnit(unit);
    expect(text).toContain('Description=Model iris 100%% "good", served by maas');
    expect(text).toContain('"/srv/my models/bin/run.js" serve --config /srv/$$HOME/maas.config.yaml');
  });
});

describe('a service', { timeout: 240_000 }, () => {
  let project: TemporaryProject;
  let bin: string;
  let folder: string;
  let port: number;
  const path = process.env['PATH'];

  beforeAll(async () => {
    project = await makeProject();
    folder = join(project.path, 'units');
    bin = join(project.path, 'bin');
    await mkdir(bin);
    await mkdir(folder);
    await copyFile(fileURLToPath(new URL('./systemctl.mjs', import.meta.url)), join(bin, 'systemctl'));
    await chmod(join(bin, 'systemctl'), 0o755);
    process.env['PATH'] = `${bin}:${path}`;
    process.env['FAKE_SYSTEMD'] = folder;
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    port = (server.address() as AddressInfo).port;
    await new Promise((resolve) => server.close(resolve));
    await project.edit('maas.config.yaml', /compress:[\s\S]*?(?=deploy:)/, '');
    await project.edit(
      'maas.config.yaml',
      'target: local',
      'target: { systemd: { unitDirectory: units, scope: user, timeout: 30 } }',
    );
    await project.edit('maas.config.yaml', 'port: 8080', `port: ${port}`);
  });
  afterAll(async () => {
    process.env['PATH'] = path;
    try {
      process.kill(Number(await readFile(join(folder, 'pid'), 'utf8')));
    } catch {
      // It never started.
    }
    await project.remove();
  });

  async function served(): Promise<string | undefined> {
    const answer = await fetch(`http://127.0.0.1:${port}/v2/models/iris`);
    return ((await answer.json()) as { versions: string[] }).versions[0];
  }

  it('is installed once, goes over to the next release by itself, and goes back', async () => {
    const first = (await maasJson<RunJson>(project.path, ['run'])).release!.digest;
    expect(await served()).toBe(first);
    const second = (await maasJson<RunJson>(project.path, ['run', '--set', 'seed=11'])).release!.digest;
    expect(await served()).toBe(second);
    const asked = (await readFile(join(folder, 'asked'), 'utf8')).trim().split('\n');
    expect(asked).toEqual([
      'daemon-reload',
      'enable maas-iris.service',
      'restart maas-iris.service',
      'start maas-iris.service',
    ]);
    await maasJson(project.path, ['deploy', '--rollback', '--set', 'seed=11']);
    expect(await served()).toBe(first);
    // Without its unit nothing runs, so that a deploy has something to do again.
    await rm(join(folder, 'maas-iris.service'));
    const again = await maasJson<RunJson>(project.path, ['run']);
    expect(again.stages['deploy']!.status).toBe('done');
    expect(await served()).toBe(first);
  });

  it('that does not answer with the new release goes back to the one before', async () => {
    const before = await served();
    await writeFile(join(bin, 'systemctl'), '#!/bin/sh\nexit 0\n');
    process.kill(Number(await readFile(join(folder, 'pid'), 'utf8')));
    const words = ['run', '--quiet', '--set', 'seed=12', '--set', 'deploy.target.systemd.timeout=1'];
    const { code, stderr } = await maas(project.path, words);
    expect(code, stderr).toBe(3);
    expect(stderr).toContain('MAAS_VERIFY_FAILED');
    const { releases } = await maasJson<{ releases: { digest: string; current: boolean }[] }>(project.path, [
      'deploy',
      '--list',
    ]);
    expect(releases.find(({ current }) => current)!.digest).toBe(before);
  });
});
