import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Listr } from 'listr2';
import { expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../src/artifacts/index.js';
import { openPipeline, type RunnerContext } from '../../src/pipeline.js';

const here = (name: string) => fileURLToPath(new URL(`children/${name}`, import.meta.url));
const { makeContext } = (await import(here('slow-stages.mjs'))) as {
  makeContext: (open: typeof openStore, root: string) => RunnerContext;
};

async function makeProject(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'maas-crash-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  return root;
}

/** Runs the pipeline in a process of its own; kills it so many milliseconds after it has started to work. */
async function runChild(root: string, killAfter?: number): Promise<{ ms: number; code: number | null }> {
  const child = spawn(process.execPath, [here('run-pipeline.mjs'), root], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = once(child, 'exit');
  await once(child.stdout, 'data');
  const started = performance.now();
  if (killAfter !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfter);
  await gone;
  return { ms: performance.now() - started, code: child.exitCode };
}

/** Runs the pipeline here, to the end. */
async function finish(root: string): Promise<(string | undefined)[]> {
  const pipeline = openPipeline(makeContext(openStore, root));
  await new Listr(pipeline.tasks({ force: false }), { renderer: 'silent' }).run();
  return pipeline.outcomes.map(({ digest }) => digest);
}

it('ends in the same digests after a kill at any time, and never points to anything but a whole artifact', async () => {
  const unbroken = await finish(await makeProject());
  const { ms, code } = await runChild(await makeProject());
  expect(code).toBe(0);

  const kills = 22;
  const found = new Set<string>();
  for (let kill = 0; kill < kills; kill++) {
    const root = await makeProject();
    await runChild(root, (kill / kills) * ms);

    const store = openStore(join(root, '.maas'));
    const states: string[] = [];
    for (const [at, stage] of ['train', 'compress', 'deploy'].entries()) {
      const record = await store.current(stage);
      if (record === undefined) continue;
      states.push(stage);
      expect(record.digest).toBe(unbroken[at]);
      await store.open(stage, record.digest);
    }
    const current = join(root, 'current');
    if (existsSync(current)) {
      states.push('current');
      await store.open('deploy', await readFile(current, 'utf8'));
    }
    found.add(states.join(' '));

    expect(await finish(root)).toEqual(unbroken);
    expect(await readFile(current, 'utf8')).toBe(unbroken[2]);
    // Where all was done but the unlocking, nobody needed the lock since.
    const unlock = await store.lock('test');
    expect(await readdir(join(root, '.maas', 'tmp'))).toEqual([]);
    await unlock();
  }
  // The kills did hit different moments.
  expect(found.size).toBeGreaterThan(2);
}, 120_000);
