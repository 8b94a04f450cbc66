import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { damageOf, digestOf, type Artifact } from '../../src/artifacts/index.js';
import { commitText, facts, makeStore } from './fixtures.js';

describe('commit', () => {
  it('moves the files to a folder named by the digest of the manifest', async () => {
    const store = await makeStore();
    const staging = await store.stage('train');
    await mkdir(join(staging.path, 'b', 'c'), { recursive: true });
    await writeFile(join(staging.path, 'model.onnx'), 'weights');
    await writeFile(join(staging.path, 'b', 'c', 'd.bin'), '');
    const artifact = await staging.commit(facts);

    expect(artifact.path).toBe(join(store.root, 'artifacts', 'train', artifact.digest));
    expect(digestOf(await readFile(join(artifact.path, 'manifest.json')))).toBe(artifact.digest);
    expect(artifact.manifest.files).toEqual({
      'b/c/d.bin': { sha256: digestOf(Buffer.from('')), size: 0 },
      'model.onnx': { sha256: digestOf(Buffer.from('weights')), size: 7 },
    });
    expect(existsSync(staging.path)).toBe(false);
    expect(await store.open('train', artifact.digest)).toEqual(artifact);
  });

  it('gives the same artifact for the same content, another for other content', async () => {
    const [one, two] = [await makeStore(), await makeStore()];
    const a = await commitText(one, { 'a.txt': '1', 'b.txt': '2' });
    const b = await commitText(two, { 'b.txt': '2', 'a.txt': '1' });
    expect(b.digest).toBe(a.digest);
    expect(await readFile(join(b.path, 'manifest.json'))).toEqual(
      await readFile(join(a.path, 'manifest.json')),
    );
    expect((await commitText(one, { 'a.txt': '1', 'b.txt': '3' })).digest).not.toBe(a.digest);
    expect((await commitText(one, { 'a.txt': '1', 'c.txt': '2' })).digest).not.toBe(a.digest);
  });

  it('keeps an artifact that is there already', async () => {
    const store = await makeStore();
    const first = await commitText(store, { 'a.txt': '1' });
    const again = await commitText(store, { 'a.txt': '1' });
    expect(again).toEqual(first);
    expect(await readdir(join(store.root, 'tmp'))).toEqual([]);
  });

  it('replaces an artifact that is there but corrupt', async () => {
    const store = await makeStore();
    const { digest, path } = await commitText(store, { 'a.txt': '1' });
    await writeFile(join(path, 'a.txt'), '2');
    await writeFile(join(path, 'extra'), '');
    await expect(store.open('train', digest)).rejects.toMatchObject({ code: 'MAAS_ARTIFACT_CORRUPT' });

    expect((await commitText(store, { 'a.txt': '1' })).digest).toBe(digest);
    await store.open('train', digest);
    expect(await readFile(join(path, 'a.txt'), 'utf8')).toBe('1');
    expect(await readdir(join(store.root, 'tmp'))).toEqual([]);
  });

  it('refuses links and a manifest of the stage’s own', async () => {
    const store = await makeStore();
    const linked = await store.stage('train');
    await symlink('/etc/hosts', join(linked.path, 'hosts'));
    await expect(linked.commit(facts)).rejects.toThrow('regular files only; hosts');
    const forged = await store.stage('train');
    await writeFile(join(forged.path, 'manifest.json'), '{}');
    await expect(forged.commit(facts)).rejects.toThrow('written by the store');
  });

  it('leaves nothing when discarded', async () => {
    const store = await makeStore();
    const staging = await store.stage('train');
    await writeFile(join(staging.path, 'a'), '1');
    await staging.discard();
    expect(await readdir(join(store.root, 'tmp'))).toEqual([]);
    expect(existsSync(join(store.root, 'artifacts'))).toBe(false);
  });
});

describe('open', () => {
  const text = { 'model.onnx': 'some weights', 'signature.json': '{}' };

  it('names any file in which a byte differs', async () => {
    const store = await makeStore();
    const artifact = await commitText(store, text);
    const names = [...Object.keys(text), 'manifest.json'];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (name, at, flip) => {
          const path = join(artifact.path, name);
          const good = await readFile(path);
          const bad = Buffer.from(good);
          bad[at % bad.length]! ^= flip;
          await writeFile(path, bad);
          await expect(store.open('train', artifact.digest)).rejects.toMatchObject({
            code: 'MAAS_ARTIFACT_CORRUPT',
            hint: 'Run `maas train --force` to make it again.',
            place: { file: path },
          });
          await writeFile(path, good);
          await store.open('train', artifact.digest);
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each<[string, (artifact: Artifact) => Promise<void>, string]>([
    ['a lost file', ({ path }) => rm(join(path, 'model.onnx')), 'has lost model.onnx'],
    [
      'a file cut short',
      ({ path }) => truncate(join(path, 'model.onnx'), 3),
      'has 3 bytes in model.onnx, not 12',
    ],
    ['a file too many', ({ path }) => writeFile(join(path, 'x'), ''), 'holds x, which is not part of it'],
    ['a link', ({ path }) => symlink('model.onnx', join(path, 'y')), 'holds y, which is not part of it'],
    ['a lost manifest', ({ path }) => rm(join(path, 'manifest.json')), 'has lost manifest.json'],
    [
      'a file behind a link',
      async ({ path }) => {
        await rm(join(path, 'signature.json'));
        await symlink('/etc/hosts', join(path, 'signature.json'));
      },
      'has lost signature.json',
    ],
  ])('refuses %s', async (_, damage, message) => {
    const store = await makeStore();
    const artifact = await commitText(store, text);
    await damage(artifact);
    const error: unknown = await store.open('train', artifact.digest).catch((reason: unknown) => reason);
    expect((error as Error).message).toContain(message);
    expect(damageOf(error)).toBe('corrupt');
  });

  it('tells a lost artifact from a corrupt one', async () => {
    const store = await makeStore();
    const error: unknown = await store.open('train', digestOf(1)).catch((reason: unknown) => reason);
    expect((error as Error).message).toBe(`artifact ${digestOf(1).slice(0, 12)} of train is gone`);
    expect(damageOf(error)).toBe('gone');
  });

  it('reads only the manifest when told so', async () => {
    const store = await makeStore();
    const artifact = await commitText(store, text);
    await writeFile(join(artifact.path, 'model.onnx'), 'other weight');
    await store.open('train', artifact.digest, { verify: false });
    await expect(store.open('train', artifact.digest)).rejects.toThrow('has other bytes in model.onnx');
  });

  it('lets no name or digest lead out of the store', async () => {
    const store = await makeStore();
    await expect(async () => store.open('../x', digestOf(1))).rejects.toThrow(TypeError);
    await expect(async () => store.open('train', '../../x')).rejects.toThrow(TypeError);
    await expect(async () => store.cached('train', '../../x')).rejects.toThrow(TypeError);
  });
});
