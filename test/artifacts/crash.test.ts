import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { openStore } from '../../src/artifacts/index.js';
import { makeStore } from './fixtures.js';

const script = fileURLToPath(new URL('children/commit-forever.mjs', import.meta.url));

it('names a whole artifact after a kill at any time', async () => {
  const { root } = await makeStore();
  const kills = 24;
  for (let kill = 0; kill < kills; kill++) {
    const child = spawn(process.execPath, [script, root, String(kill)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const gone = once(child, 'exit');
    // The child says when a round has ended: kill it somewhere in the next one.
    await once(child.stdout, 'data');
    const started = performance.now();
    await once(child.stdout, 'data');
    const round = performance.now() - started;
    await new Promise((resolve) => setTimeout(resolve, (kill / kills) * round));
    child.kill('SIGKILL');
    await gone;

    const store = openStore(root);
    const record = (await store.current('train'))!;
    const artifact = await store.open('train', record.digest);
    expect(artifact.manifest.metrics).toEqual({ n: record.parts['seed'] });
    expect(await store.cached('train', record.key)).toBeDefined();
    // Everything that has a name is whole, whether or not something points to it.
    for (const digest of await readdir(join(root, 'artifacts', 'train'))) await store.open('train', digest);
  }
  const unlock = await openStore(root).lock('test');
  expect(await readdir(join(root, 'tmp'))).toEqual([]);
  await unlock();
}, 120_000);
