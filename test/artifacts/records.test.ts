import { readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/artifacts/index.js';
import { commitText, makeRecord, makeStore } from './fixtures.js';

describe('records', () => {
  it('are none before the first run', async () => {
    const store = await makeStore();
    expect(await store.current('train')).toBeUndefined();
    expect(await store.cached('train', digestOf(1))).toBeUndefined();
  });

  it('come back as they were written, by stage and by key', async () => {
    const store = await makeStore();
    const first = makeRecord(digestOf('a'), { parts: { seed: 1, 'options.epochs': 60 } });
    const second = makeRecord(digestOf('b'), { parts: { seed: 2 } });
    await store.record(first);
    await store.record(second);
    expect(await store.current('train')).toEqual(second);
    expect(await store.cached('train', first.key)).toEqual(first);
    expect(await store.cached('train', second.key)).toEqual(second);
    expect(await store.current('compress')).toBeUndefined();
    expect(await readdir(join(store.root, 'tmp'))).toEqual([]);
  });

  it.each(['', '{"stage":"train"', '{"stage":"train","digest":"../../etc"}', 'null', '[]'])(
    'refuses a pointer that holds %j, and passes over such a cache record',
    async (text) => {
      const store = await makeStore();
      const record = makeRecord(digestOf('a'));
      await store.record(record);
      const path = join(store.root, 'stages', 'train.json');
      await writeFile(path, text);
      await writeFile(join(store.root, 'cache', 'train', `${record.key}.json`), text);
      await expect(store.current('train')).rejects.toMatchObject({
        code: 'MAAS_ARTIFACT_CORRUPT',
        place: { file: path },
        hint: 'Run `maas train --force` to make it again.',
      });
      expect(await store.cached('train', record.key)).toBeUndefined();
    },
  );
});

describe('work', () => {
  it('is the same folder for the same key, until it is removed', async () => {
    const store = await makeStore();
    const path = await store.work('train', digestOf(1));
    await writeFile(join(path, 'checkpoint'), '1');
    expect(await store.work('train', digestOf(1))).toBe(path);
    expect(await readFile(join(path, 'checkpoint'), 'utf8')).toBe('1');
    expect(await store.work('train', digestOf(2))).not.toBe(path);
    await store.removeWork('train', digestOf(1));
    expect(await readdir(await store.work('train', digestOf(1)))).toEqual([]);
  });
});

describe('prune', () => {
  it('keeps the newest records, the current one and their artifacts', async () => {
    const store = await makeStore();
    const digests: string[] = [];
    for (let n = 0; n < 6; n++) {
      const { digest } = await commitText(store, { n: String(n) });
      digests.push(digest);
      await store.record(makeRecord(digest, { parts: { n }, finishedAt: `2025-01-0${n + 1}T00:00:00.000Z` }));
    }
    // Going back to an old run makes it current, and its date stays.
    await store.record((await store.cached('train', digestOf({ n: 0 })))!);
    const orphan = await commitText(store, { n: 'orphan' });
    const other = await commitText(store, { n: '1' }, 'compress');
    await store.record(makeRecord(other.digest, { stage: 'compress' }));

    await store.prune(2);
    const left = await readdir(join(store.root, 'artifacts', 'train'));
    expect(left.sort()).toEqual([digests[0], digests[4], digests[5]].sort());
    expect(left).not.toContain(orphan.digest);
    for (const n of [0, 4, 5]) expect(await store.cached('train', digestOf({ n }))).toBeDefined();
    for (const n of [1, 2, 3]) expect(await store.cached('train', digestOf({ n }))).toBeUndefined();
    await store.open('train', (await store.current('train'))!.digest);
    await store.open('compress', other.digest);
    expect(await readdir(join(store.root, 'tmp'))).toEqual([]);
  });

  it('keeps everything of a stage whose pointer cannot be read', async () => {
    const store = await makeStore();
    const { digest } = await commitText(store, { n: '1' });
    await store.record(makeRecord(digest));
    await rm(join(store.root, 'cache'), { recursive: true });
    await writeFile(join(store.root, 'stages', 'train.json'), '');
    await store.prune(0);
    await store.open('train', digest);
  });

  it('keeps the newest work folders', async () => {
    const store = await makeStore();
    for (let n = 0; n < 4; n++) {
      const time = new Date(2025, 0, n + 1);
      await utimes(await store.work('train', digestOf(n)), time, time);
    }
    await store.prune(2);
    expect((await readdir(join(store.root, 'work', 'train'))).sort()).toEqual(
      [digestOf(2), digestOf(3)].sort(),
    );
  });

  it('does nothing in an empty store', async () => {
    const store = await makeStore();
    await store.prune(1);
  });
});
