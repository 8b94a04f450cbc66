import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { digestOf, openStore } from '../../src/artifacts/index.js';
import { commitText, makeRecord, makeStore, makeTemporary } from './fixtures.js';

const script = fileURLToPath(new URL('children/write-once.mjs', import.meta.url));
const isRoot = process.getuid?.() === 0;
const canMount =
  process.platform === 'linux' &&
  spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'x', '/mnt']).status === 0;

describe('what the disk refuses', () => {
  it('is told as such when .maas is a file', async () => {
    const root = join(await makeTemporary(), '.maas');
    await writeFile(root, '');
    const store = openStore(root);
    const refusal = { code: 'MAAS_DISK', exitCode: 4, message: expect.stringContaining('ENOTDIR') as string };
    await expect(store.current('train')).rejects.toMatchObject(refusal);
    await expect(store.lock('train')).rejects.toMatchObject(refusal);
    await expect(store.stage('train')).rejects.toMatchObject(refusal);
    await expect(store.work('train', digestOf(1))).rejects.toMatchObject(refusal);
    await expect(store.record(makeRecord(digestOf(1)))).rejects.toMatchObject(refusal);
    await expect(store.open('train', digestOf(1))).rejects.toMatchObject(refusal);
  });

  it.skipIf(process.platform === 'win32')('is told as such in a read-only folder', async () => {
    const folder = await makeTemporary();
    await chmod(folder, 0o555);
    const user = isRoot ? ['65534'] : [];
    const child = spawnSync(process.execPath, [script, join(folder, '.maas'), '10', ...user], {
      encoding: 'utf8',
    });
    expect(child.stdout).toBe(
      `MAAS_DISK cannot lock ${join(folder, '.maas')}: EACCES ${join(folder, '.maas')}`,
    );
    expect(await readdir(folder)).toEqual([]);
    await chmod(folder, 0o755);
  });

  it.skipIf(!canMount)('is told as such on a full disk, and takes nothing away', async () => {
    const folder = await makeTemporary();
    // A filesystem of 256 kB that only the shell and its children see.
    const run = `mount -t tmpfs -o size=256k full "$1" && mkdir "$1/.maas" && \
      for bytes in 100000 1000000 1000; do "$2" "$3" "$1/.maas" $bytes; echo; done; \
      ls "$1/.maas" "$1/.maas/tmp" "$1/.maas/artifacts/train"`;
    const output = execFileSync('unshare', ['-rm', 'sh', '-c', run, 'sh', folder, process.execPath, script], {
      encoding: 'utf8',
    });
    const [first, second, third] = output.split('\n');
    expect([first, second, third]).toEqual(['done', expect.stringMatching(/^MAAS_DISK .*ENOSPC/), 'done']);
    expect(output.match(/^[0-9a-f]{64}$/gm)).toHaveLength(2);
    expect(output).toMatch(/tmp:\n$/);
  });

  it('does not hinder reading from a store that cannot be written', async () => {
    const store = await makeStore();
    const { digest } = await commitText(store, { a: '1' });
    await store.record(makeRecord(digest));
    const before = await readdir(store.root, { recursive: true });
    await store.current('train');
    await store.open('train', digest);
    await store.cached('train', digestOf(1));
    expect(await readdir(store.root, { recursive: true })).toEqual(before);
    const elsewhere = openStore(join(await makeTemporary(), '.maas'));
    await elsewhere.current('train');
    await expect(readdir(elsewhere.root)).rejects.toMatchObject({ code: 'ENOENT' });
    await mkdir(elsewhere.root);
  });
});
