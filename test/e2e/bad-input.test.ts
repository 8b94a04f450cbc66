import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, mkdtemp, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import {
  maas,
  maasJson,
  makeProject,
  serve,
  type Result,
  type RunJson,
  type TemporaryProject,
} from './maas.js';

/** A finished project that every case gets a copy of. */
let finished: TemporaryProject;
let made: RunJson;
let folder: string;

beforeAll(async () => {
  finished = await makeProject();
  made = await maasJson<RunJson>(finished.path, ['run']);
}, 120_000);
afterAll(() => finished.remove());

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'maas-bad-'));
  await cp(finished.path, folder, { recursive: true, verbatimSymlinks: true });
  return () => rm(folder, { recursive: true, force: true });
});

const file = (...parts: string[]) => join(folder, ...parts);

async function edit(path: string, from: string | RegExp, to: string): Promise<void> {
  const text = await readFile(file(path), 'utf8');
  const edited = text.replace(from, to);
  if (edited === text) throw new Error(`${path} holds no ${String(from)}`);
  await writeFile(file(path), edited);
}

/** What a failure must leave as it was: every artifact, record and release, and where links point. */
async function fingerprint(path = file('.maas')): Promise<string> {
  const hash = createHash('sha256');
  const walk = async (at: string): Promise<void> => {
    const entries = await readdir(at, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const child = join(at, entry.name);
      // Drafts and checkpoints may come and go.
      if (['tmp', 'work', 'lock'].includes(entry.name)) continue;
      hash.update(`${child.slice(path.length)}\0`);
      if (entry.isDirectory()) await walk(child);
      else if (entry.isSymbolicLink()) hash.update(await readlink(child));
      else hash.update(await readFile(child));
    }
  };
  await walk(path);
  return hash.digest('hex');
}

interface Expected {
  readonly exit: number;
  readonly code: string;
  /** `FILE:LINE:COLUMN` as printed, or a part of it. */
  readonly place?: string | RegExp;
  readonly hint?: string | RegExp;
}

function expectError({ code, stdout, stderr }: Result, expected: Expected): void {
  expect({ exit: code, stdout, stderr }).toMatchObject({ exit: expected.exit, stdout: '' });
  expect(stderr).toContain(`error[${expected.code}]: `);
  expect(stderr).toMatch(/^hint: ./m);
  expect(stderr, 'a user error shows no stack').not.toMatch(/^ {4}at /m);
  if (expected.place !== undefined) {
    const place = /^ +--> (.*)$/m.exec(stderr)?.[1];
    expect(place).toMatch(expected.place);
  }
  if (expected.hint !== undefined) expect(stderr.slice(stderr.lastIndexOf('hint: '))).toMatch(expected.hint);
}

describe('bad input', () => {
  interface Case extends Expected {
    readonly what: string;
    readonly prepare: () => Promise<void>;
    readonly args?: readonly string[];
  }
  const csv = join('data', 'iris.csv');
  const config = 'maas.config.yaml';
  const cases: Case[] = [
    {
      what: 'a target column that is not there',
      prepare: () => edit(csv, 'species', 'kind'),
      exit: 2,
      code: 'MAAS_DATA_COLUMN',
      place: /^data\/iris\.csv:1\b/,
      hint: 'sepal_length',
    },
    {
      what: 'a row with a column too few',
      prepare: () => edit(csv, '4.9,3.0,1.4,0.2,setosa', '4.9,3.0,0.2,setosa'),
      exit: 2,
      code: 'MAAS_DATA_SYNTAX',
      place: /^data\/iris\.csv:3\b/,
    },
    {
      what: 'NaN where no gap may be',
      prepare: () => edit(csv, '4.9,3.0,1.4', '4.9,NaN,1.4'),
      args: ['run', '--set', 'data.missing.numbers=error'],
      exit: 2,
      code: 'MAAS_DATA_VALUE',
      place: /^data\/iris\.csv:3:5/,
    },
    {
      what: 'infinity',
      prepare: () => edit(csv, '4.9,3.0,1.4', '4.9,inf,1.4'),
      exit: 2,
      code: 'MAAS_DATA_VALUE',
      place: /^data\/iris\.csv:3:5/,
    },
    {
      what: 'text among numbers',
      prepare: () => edit(csv, '4.9,3.0,1.4', '4.9,wide,1.4'),
      exit: 2,
      code: 'MAAS_DATA_VALUE',
      place: /^data\/iris\.csv:3:5/,
    },
    {
      what: 'an empty file',
      prepare: () => writeFile(file(csv), ''),
      exit: 2,
      code: 'MAAS_DATA_EMPTY',
      place: 'data/iris.csv',
    },
    {
      what: 'a header without rows',
      prepare: () => edit(csv, /\n[\s\S]*/, '\n'),
      exit: 2,
      code: 'MAAS_DATA_EMPTY',
      place: 'data/iris.csv',
    },
    {
      what: 'data that is not there',
      prepare: () => rm(file(csv)),
      exit: 2,
      code: 'MAAS_DATA_MISSING',
      place: /(maas\.config\.yaml|iris\.csv)/,
    },
    {
      what: 'an unknown key',
      prepare: () => edit(config, /^( +)epochs:/m, '$1epoch:'),
      exit: 2,
      code: 'MAAS_CONFIG_UNKNOWN_KEY',
      place: /^maas\.config\.yaml:\d+:\d+$/,
      hint: 'epochs',
    },
    {
      what: 'a value of the wrong type',
      prepare: () => edit(config, /^( +)epochs: .*$/m, '$1epochs: many'),
      exit: 2,
      code: 'MAAS_CONFIG_INVALID',
      place: /^maas\.config\.yaml:\d+:\d+$/,
    },
    {
      what: 'YAML that cannot be read',
      prepare: () => edit(config, /^data:$/m, 'data: ['),
      exit: 2,
      code: 'MAAS_CONFIG_SYNTAX',
      place: /^maas\.config\.yaml:\d+:\d+$/,
    },
    {
      what: 'a variable that is not set',
      prepare: () => edit(config, /^name: .*$/m, 'name: ${NOT_SET_ANYWHERE}'),
      exit: 2,
      code: 'MAAS_CONFIG_ENV',
      place: /^maas\.config\.yaml:\d+:\d+$/,
    },
    {
      what: 'an override of a key that is not there',
      prepare: () => Promise.resolve(),
      args: ['run', '--set', 'train.epoch=3'],
      exit: 2,
      code: 'MAAS_CONFIG_UNKNOWN_KEY',
      hint: 'epochs',
    },
    {
      what: 'a gate that cannot be met',
      prepare: () => Promise.resolve(),
      args: ['run', '--set', 'compress.gates.size.maxRatio=0.01'],
      exit: 3,
      code: 'MAAS_GATE_FAILED',
    },
  ];

  it.each(cases)('$what → $code', async ({ prepare, args = ['run'], ...expected }) => {
    await prepare();
    const before = await fingerprint();
    expectError(await maas(folder, args), expected);
    expect(await fingerprint(), 'nothing is lost').toBe(before);
  });

  it('a corrupt model → MAAS_ARTIFACT_CORRUPT, and running the stage mends it', async () => {
    const model = made.stages['train']!.artifact.replace(finished.path, folder);
    await flipByte(join(model, 'model.onnx'));
    expectError(await maas(folder, ['compress', '--force']), { exit: 2, code: 'MAAS_ARTIFACT_CORRUPT' });
    const mended = await maasJson<RunJson>(folder, ['run']);
    expect(mended.release!.digest).toBe(made.release!.digest);
  });

  it('a corrupt release → never served', async () => {
    const release = made.release!.path.replace(finished.path, folder);
    await flipByte(join(release, 'model.onnx'));
    const served = await maas(folder, ['serve', '--port', '0', '--release', release]);
    expectError(served, { exit: 2, code: 'MAAS_ARTIFACT_CORRUPT', place: release.slice(folder.length + 1) });
  });

  it('a config of nothing but serve: → enough for a model that the command line names', async () => {
    const [model, config] = [
      join(made.release!.path.replace(finished.path, folder), 'model.onnx'),
      'serve.yaml',
    ];
    await writeFile(file(config), 'serve:\n  port: 99999\n');
    expectError(await maas(folder, ['serve', model, '--config', config]), {
      exit: 2,
      code: 'MAAS_CONFIG_INVALID',
      place: `${config}:2:9`,
    });
    await writeFile(file(config), 'serve:\n  maxBodyBytes: 1000\n');
    const server = await serve(folder, [model, '--config', config]);
    const response = await fetch(`${server.url}/v2/models/model/infer`, {
      method: 'POST',
      body: 'x'.repeat(1001),
    });
    expect(response.status).toBe(413);
    expect((await server.stop()).code).toBe(0);
  });

  it('a release folder that is not there → MAAS_RELEASE_MISSING', async () => {
    const served = await maas(folder, ['serve', '--port', '0', '--release', 'nowhere']);
    expectError(served, { exit: 2, code: 'MAAS_RELEASE_MISSING' });
  });

  it('a stage before the one it needs → MAAS_STAGE_MISSING', async () => {
    await rm(file('.maas'), { recursive: true });
    expectError(await maas(folder, ['compress']), {
      exit: 2,
      code: 'MAAS_STAGE_MISSING',
      hint: 'maas train',
    });
  });

  it('nothing deployed → MAAS_RELEASE_MISSING; status works all the same', async () => {
    await rm(file('.maas'), { recursive: true });
    const status = await maasJson<{ stages: Record<string, { state: string }> }>(folder, ['status']);
    expect(Object.values(status.stages).map(({ state }) => state)).toEqual(['never', 'never', 'never']);
    expect(await readdir(folder), 'status writes nothing').not.toContain('.maas');
    expectError(await maas(folder, ['serve']), {
      exit: 2,
      code: 'MAAS_RELEASE_MISSING',
      hint: 'maas deploy',
    });
  });

  it('a port in use → MAAS_PORT', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const { port } = holder.address() as AddressInfo;
    try {
      const served = await maas(folder, ['serve', '--port', String(port)]);
      expectError(served, { exit: 4, code: 'MAAS_PORT', hint: '--port' });
      expect(served.stderr).toContain(String(port));
    } finally {
      holder.close();
    }
  });

  it('a read-only folder → MAAS_DISK', async (context) => {
    const isRoot = process.getuid?.() === 0;
    if (process.platform === 'win32') skip(context, 'Windows has no folder permissions of this kind');
    await rm(file('.maas'), { recursive: true });
    // Root may write everywhere, so the command runs as somebody else.
    const nobody = isRoot ? { uid: 65534, gid: 65534 } : {};
    if ((await maas(folder, ['--version'], nobody)).code !== 0) skip(context, 'cannot run as another user');
    await chmod(folder, 0o555);
    try {
      expectError(await maas(folder, ['train'], nobody), { exit: 4, code: 'MAAS_DISK', hint: 'permissions' });
      expect(await readdir(folder)).not.toContain('.maas');
    } finally {
      await chmod(folder, 0o755);
    }
  });

  it('a full disk → MAAS_DISK, and the same command goes on when there is space', async (context) => {
    await rm(file('.maas'), { recursive: true });
    await mkdir(file('.maas'));
    const mount = (options: string) =>
      execa('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', file('.maas')], { reject: false });
    if ((await mount('size=64k')).exitCode !== 0) skip(context, 'cannot mount a small disk');
    try {
      expectError(await maas(folder, ['train']), { exit: 4, code: 'MAAS_DISK', hint: 'space' });
      await mount('remount,size=64m');
      const { digest } = await maasJson<{ digest: string }>(folder, ['train']);
      expect(digest).toBe(made.stages['train']!.digest);
    } finally {
      await execa('umount', [file('.maas')]);
    }
  });
});

function skip(context: TestContext, reason: string): never {
  console.log(`skipped: ${reason}`);
  context.skip(reason);
  throw new Error('unreachable');
}

async function flipByte(path: string): Promise<void> {
  await chmod(path, 0o644);
  const bytes = await readFile(path);
  const middle = bytes.length >> 1;
  bytes[middle] = bytes[middle]! ^ 0xff;
  await writeFile(path, bytes);
}
