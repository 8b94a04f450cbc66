import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openStore, type ArtifactStore } from '../../src/artifacts/index.js';
import type { LockOwner } from '../../src/artifacts/lock.js';
import { makeStore } from './fixtures.js';

function start(name: string, ...args: string[]): ChildProcess {
  const script = fileURLToPath(new URL(`children/${name}.mjs`, import.meta.url));
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function firstWord(child: ChildProcess): Promise<string> {
  const [chunk] = (await once(child.stdout!, 'data')) as [Buffer];
  return chunk.toString().trim();
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** Leaves a lock with another owner behind. */
async function forge(store: ArtifactStore, changes: Partial<LockOwner>): Promise<void> {
  const unlock = await store.lock('train');
  const path = join(store.root, 'lock');
  const owner = JSON.parse(await readFile(path, 'utf8')) as LockOwner;
  await unlock();
  await writeFile(path, JSON.stringify({ ...owner, ...changes }));
}

describe('lock', () => {
  it('is refused while it is held, naming the holder', async () => {
    const store = await makeStore();
    const unlock = await store.lock('train');
    const error: unknown = await openStore(store.root)
      .lock('deploy')
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'MAAS_LOCKED',
      exitCode: 4,
      place: { file: join(store.root, 'lock') },
      details: { pid: process.pid, doing: 'train' },
    });
    expect((error as Error).message).toMatch(
      new RegExp(`train \\(pid ${process.pid} on .+, since \\d{4}-.+Z\\)`),
    );
    await unlock();
    await (
      await store.lock('deploy')
    )();
  });

  it('is given back once, and never another’s', async () => {
    const store = await makeStore();
    const unlock = await store.lock('train');
    await unlock();
    const again = await store.lock('deploy');
    await unlock();
    await expect(store.lock('x')).rejects.toMatchObject({ details: { doing: 'deploy' } });
    await again();
    expect(existsSync(join(store.root, 'lock'))).toBe(false);
  });

  it('sweeps what killed runs left', async () => {
    const store = await makeStore();
    const staging = await store.stage('train');
    await writeFile(join(staging.path, 'half'), 'x');
    await mkdir(store.root, { recursive: true });
    await writeFile(join(store.root, `lock.${'0'.repeat(32)}`), '{}');
    const unlock = await store.lock('train');
    expect(await readdir(join(store.root, 'tmp'))).toEqual([]);
    expect((await readdir(store.root)).sort()).toEqual(['lock', 'tmp']);
    await unlock();
  });

  it('of a killed process is taken over', async () => {
    const store = await makeStore();
    const holder = start('hold-lock', store.root);
    expect(await firstWord(holder)).toBe('held');
    await expect(store.lock('train')).rejects.toMatchObject({
      details: { pid: holder.pid, doing: 'hold-lock' },
    });
    await kill(holder);
    await (
      await store.lock('train')
    )();
  });

  it.skipIf(process.platform !== 'linux')('of a zombie is taken over', async () => {
    const store = await makeStore();
    // The shell becomes `sleep`, which never asks for its child.
    const parent = spawn(
      'sh',
      [
        '-c',
        '"$@" & exec sleep 60',
        'sh',
        process.execPath,
        fileURLToPath(new URL('children/hold-lock.mjs', import.meta.url)),
        store.root,
      ],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    onTestFinished(() => void parent.kill('SIGKILL'));
    expect(await firstWord(parent)).toBe('held');
    const { pid } = JSON.parse(await readFile(join(store.root, 'lock'), 'utf8')) as LockOwner;
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => readFile(`/proc/${pid}/stat`, 'utf8')).toContain(') Z ');
    await (
      await store.lock('train')
    )();
  });

  it.skipIf(process.platform !== 'linux')(
    'of a process whose pid was given to another is taken over',
    async () => {
      const store = await makeStore();
      await forge(store, { start: '1' });
      await (
        await store.lock('train')
      )();
      await forge(store, { boot: 'an earlier boot' });
      await (
        await store.lock('train')
      )();
    },
  );

  it('of another machine is left alone, with a hint how to end it', async () => {
    const store = await makeStore();
    await forge(store, { host: 'elsewhere', pid: 2 ** 22 + 1 });
    await expect(store.lock('train')).rejects.toMatchObject({
      code: 'MAAS_LOCKED',
      hint: expect.stringContaining(`delete ${join(store.root, 'lock')}`) as string,
    });
  });

  it.each(['', 'garbage', '{}', '{"pid":-1}'])('that holds %j is taken over', async (text) => {
    const store = await makeStore();
    await mkdir(store.root, { recursive: true });
    await writeFile(join(store.root, 'lock'), text);
    await (
      await store.lock('train')
    )();
  });

  it('of a dead process goes to exactly one of many contenders', async () => {
    for (let round = 0; round < 10; round++) {
      const store = await makeStore();
      await forge(store, { pid: 2 ** 22 + 1 });
      const tries = await Promise.allSettled(
        Array.from({ length: 20 }, (_, n) => openStore(store.root).lock(`contender-${n}`)),
      );
      const won = tries.filter((attempt) => attempt.status === 'fulfilled');
      const lost = tries.filter((attempt) => attempt.status === 'rejected');
      expect(won).toHaveLength(1);
      for (const { reason } of lost) expect(reason).toMatchObject({ code: 'MAAS_LOCKED' });
      expect((await readdir(store.root)).sort()).toEqual(['lock', 'tmp']);
      await won[0]!.value();
    }
  });

  it('passes along a chain of contenders that were killed while they took it over', async () => {
    const store = await makeStore();
    await forge(store, { pid: 2 ** 22 + 1 });
    const { digestOf } = await import('../../src/artifacts/digest.js');
    let path = join(store.root, 'lock');
    for (let n = 0; n < 3; n++) {
      const content = await readFile(path);
      path = join(store.root, `lock.${digestOf(content).slice(0, 32)}`);
      await writeFile(
        path,
        JSON.stringify({ ...(JSON.parse(content.toString()) as LockOwner), nonce: String(n) }),
      );
    }
    const unlock = await store.lock('train');
    expect((await readdir(store.root)).sort()).toEqual(['lock', 'tmp']);
    await expect(store.lock('deploy')).rejects.toMatchObject({ details: { doing: 'train' } });
    await unlock();
  });

  it('of a dead process goes to exactly one of several processes', async () => {
    const store = await makeStore();
    for (let round = 0; round < 3; round++) {
      const contenders = Array.from({ length: 4 }, () => start('hold-lock', store.root));
      const words = await Promise.all(contenders.map(firstWord));
      expect(words.sort()).toEqual(['MAAS_LOCKED', 'MAAS_LOCKED', 'MAAS_LOCKED', 'held']);
      await Promise.all(contenders.filter(({ exitCode }) => exitCode === null).map(kill));
    }
  });

  it('is never held by two processes', async () => {
    const store = await makeStore();
    const players = [start('take-turns', store.root, '80'), start('take-turns', store.root, '80')];
    const results = await Promise.all(
      players.map(async (player) => {
        const [word] = await Promise.all([firstWord(player), once(player, 'exit')]);
        return { code: player.exitCode, refused: (JSON.parse(word) as { refused: number }).refused };
      }),
    );
    expect(results.map(({ code }) => code)).toEqual([0, 0]);
    // They did meet.
    expect(results[0]!.refused + results[1]!.refused).toBeGreaterThan(0);
  });
});
