import { chmod, mkdir, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa, type ResultPromise } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Release, TargetContext } from '../../../../../src/plugin/api.js';
import { sshTarget } from '../../../../../src/stages/deploy/index.js';
import { checkRelease } from '../../../../../src/stages/deploy/release-folder.js';
import { deploy, makeContext, makeRoot } from '../../../../conformance/target-suite.js';
import { buildRelease, makeModel, makeProject, makeRelease } from '../../make-release.js';
import { startSshd, whyNoSshd } from './ssh-server.js';

describe.skipIf(whyNoSshd() !== undefined)('another machine', { timeout: 120_000 }, () => {
  let root: string;
  let ssh: Awaited<ReturnType<typeof startSshd>>;
  let releases: [Release, Release, Release];
  let count = 0;
  let service: ResultPromise<{ buffer: false; reject: false }> | undefined;

  beforeAll(async () => {
    root = await makeRoot('maas-ssh-');
    ssh = await startSshd(root);
    const project = await makeProject(join(root, 'project'));
    const first = await makeRelease(root, 0, project);
    const others: Release[] = [];
    for (const variant of [8, 16]) {
      const model = await makeModel(project, first.store, variant);
      others.push((await buildRelease(project, first.store, model)).artifact);
    }
    releases = [first.artifact, ...others] as never;
  }, 120_000);
  afterEach(async () => {
    service?.kill('SIGKILL');
    await service;
    service = undefined;
  });
  afterAll(async () => {
    await ssh.stop();
    await rm(root, { recursive: true, force: true });
  });

  const place = (): string => join(root, 'there', String(count));

  function contextWith(options: object = {}, keep = 2): TargetContext {
    const parsed = sshTarget.options.parse({ ...ssh.options, directory: place(), ...options });
    const made = makeContext(root, parsed, keep);
    return { ...made, project: { ...made.project, name: 'things' } };
  }

  it('gets a server and releases, runs them, goes back, and forgets old ones', async () => {
    count += 1;
    const [a, b, c] = releases;
    const context = contextWith();
    expect(await sshTarget.current(context)).toBeUndefined();
    expect(await sshTarget.list(context)).toEqual([]);
    await expect(sshTarget.rollback(context, 1)).rejects.toMatchObject({ code: 'MAAS_RELEASE_MISSING' });
    await deploy(sshTarget, context, a);
    await checkRelease(await realpath(join(place(), 'current')));

    // As whoever looks after that machine would start it.
    const entry = join(place(), 'server/app/dist/commands/cli/serve-image.js');
    service = execa(process.execPath, [entry, join(place(), 'current'), '{"port":0}'], {
      buffer: false,
      reject: false,
    });
    const port = await new Promise<number>((resolve) => {
      createInterface({ input: service!.stdout }).on('line', (line) => {
        const event = JSON.parse(line) as { event: string; url: string };
        if (event.event === 'serving') resolve(Number(new URL(event.url).port));
      });
    });
    // The service goes over by itself, and that is looked for.
    await deploy(sshTarget, contextWith({ observe: port }), b);
    const told = (await (await fetch(`http://127.0.0.1:${port}/v2/models/things`)).json()) as object;
    expect(told).toMatchObject({ versions: [b.digest] });
    expect(await sshTarget.rollback(contextWith({ observe: port }), 1)).toBe(a.digest);
    await deploy(sshTarget, contextWith({ observe: port }), c);
    expect((await sshTarget.list(context)).map(({ digest, current }) => [digest, current])).toEqual([
      [c.digest, true],
      [a.digest, false],
    ]);
    expect((await readdir(join(place(), 'releases'))).sort()).toEqual([a.digest, c.digest].sort());
    expect(await readdir(join(place(), 'servers'))).toHaveLength(1);
  });

  it('keeps what it had when the next one answers wrong there, or is not what the service answers with', async () => {
    const [a, b, c] = releases;
    expect(await sshTarget.current(contextWith())).toBe(c.digest);
    const wrong = { ...b, path: join(root, 'wrong', b.digest) };
    await mkdir(join(root, 'wrong'));
    await execa('cp', ['-r', b.path, wrong.path]);
    await chmod(join(wrong.path, 'model.onnx'), 0o644);
    await writeFile(join(wrong.path, 'model.onnx'), 'nothing');
    await expect(deploy(sshTarget, contextWith(), wrong)).rejects.toMatchObject({
      code: 'MAAS_ARTIFACT_CORRUPT',
    });
    // A server that does not start.
    await expect(deploy(sshTarget, contextWith({ node: '/bin/true' }), b)).rejects.toMatchObject({
      code: 'MAAS_PROGRAM',
    });
    // Nobody answers on that port.
    await expect(deploy(sshTarget, contextWith({ observe: 1, timeout: 5 }), b)).rejects.toMatchObject({
      code: 'MAAS_VERIFY_FAILED',
    });
    expect(await sshTarget.current(contextWith())).toBe(c.digest);
    // The switch that was taken back is no release to go back to.
    expect(await sshTarget.rollback(contextWith(), 1)).toBe(a.digest);
  });

  it('has a damaged copy mended', async () => {
    const [a, b] = releases;
    await deploy(sshTarget, contextWith(), b);
    const file = join(place(), 'releases', b.digest, 'model.onnx');
    const good = await readFile(file);
    await writeFile(file, Buffer.alloc(good.length));
    await deploy(sshTarget, contextWith(), a);
    await deploy(sshTarget, contextWith(), b);
    expect((await readFile(file)).equals(good)).toBe(true);
  });

  it('runs the command that restarts the service when the server is another, and fails with what it said', async () => {
    const [a, b] = releases;
    await deploy(sshTarget, contextWith({ restart: 'echo restarted >> log' }), a);
    await deploy(sshTarget, contextWith({ restart: 'echo restarted >> log' }), b);
    expect(await readFile(join(place(), 'log'), 'utf8')).toBe('restarted\n');
    // As a kill between the links and the command leaves it.
    await rm(join(place(), 'told'));
    expect(await sshTarget.current(contextWith({ restart: 'true' }))).toBeUndefined();
    await deploy(sshTarget, contextWith({ restart: 'echo again >> log' }), b);
    expect(await readFile(join(place(), 'log'), 'utf8')).toBe('restarted\nagain\n');
    for (const name of ['current', 'server', 'told']) await rm(join(place(), name));
    const broken = contextWith({ restart: 'echo no such unit >&2; exit 5' });
    await expect(deploy(sshTarget, broken, a)).rejects.toMatchObject({
      code: 'MAAS_PROGRAM',
      message: expect.stringContaining('no such unit') as string,
    });
    expect(await sshTarget.current(broken)).toBeUndefined();
  });

  it('waits for another deploy, and lets a killed one leave nothing behind', async () => {
    const [a, b] = releases;
    await deploy(sshTarget, contextWith(), a);
    await mkdir(join(place(), 'tmp', 'left-over'), { recursive: true });
    const holder = execa('flock', [join(place(), 'lock'), 'sleep', '1.5'], { reject: false });
    const started = Date.now();
    await deploy(sshTarget, contextWith(), b);
    expect(Date.now() - started).toBeGreaterThan(1000);
    await holder;
    expect(await readdir(join(place(), 'tmp')).catch(() => [])).toEqual([]);
  });

  it.each([
    ['whose key is another than the known one', { knownHosts: 'known-otherwise' }, /compare the host's key/],
    ['that is not known', { knownHosts: 'nothing' }, /compare the host's key/],
    ['that does not let us in', { identity: 'stranger' }, /ssh-add/],
  ])('%s is refused without asking anybody', async (_, options, hint) => {
    const named = Object.fromEntries(Object.entries(options).map(([name, file]) => [name, ssh.file(file)]));
    const started = Date.now();
    await expect(sshTarget.current(contextWith(named))).rejects.toMatchObject({
      code: 'MAAS_PROGRAM',
      hint: expect.stringMatching(hint) as string,
    });
    expect(Date.now() - started).toBeLessThan(20_000);
  });

  it('that is not there says so', async () => {
    await expect(sshTarget.current(contextWith({ port: 1 }))).rejects.toMatchObject({
      code: 'MAAS_PROGRAM',
      message: expect.stringContaining('cannot be reached') as string,
    });
  });
});

describe('the options of the target ssh', () => {
  it.each([
    [{ host: '-oProxyCommand=evil' }, 'host'],
    [{ host: 'a b' }, 'host'],
    [{ host: 'a', directory: 'x; rm -rf y' }, 'directory'],
    [{ host: 'a', directory: '-x' }, 'directory'],
    [{ host: 'a', port: 0 }, 'port'],
    [{}, 'host'],
  ])('%j are refused', (options, path) => {
    const { error } = sshTarget.options.safeParse(options);
    expect(error?.issues[0]?.path).toEqual([path]);
  });
});
