import { existsSync } from 'node:fs';
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { maasJson, startMaas, template, type StageJson } from './maas.js';

/** Passes that train are killed over and over, and must hand on the bytes that one hands on which nobody disturbed. */

const passes = {
  distill: { distill: { student: { preset: { mlp: { units: [16] } } }, epochs: 60 } },
  qat: { qat: { minElements: 1, epochs: 60 } },
};
const kills = 4;
let root: string;
let trained: string;

const config = (pass: object): string =>
  JSON.stringify({
    name: 'iris',
    seed: 3,
    data: { source: 'iris.csv', target: 'species' },
    train: { model: { preset: { mlp: { units: [64, 64] } } }, epochs: 5 },
    compress: {
      passes: [pass],
      gates: { accuracy: { maxDrop: 1 }, size: { maxRatio: 10 }, latency: { maxRatio: 100 } },
    },
  });

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-compress-kill-'));
  trained = join(root, 'trained');
  await cp(join(template, 'data', 'iris.csv'), join(trained, 'iris.csv'), { recursive: true });
  await writeFile(join(trained, 'maas.config.yaml'), config(passes.distill));
  await maasJson(trained, ['train']);
}, 120_000);
afterAll(() => rm(root, { recursive: true, force: true, maxRetries: 3 }));

it.each(Object.entries(passes))(
  'loses nothing to kill -9 during %s',
  async (name, pass) => {
    const [whole, broken] = [join(root, `${name}-whole`), join(root, `${name}-broken`)];
    for (const path of [whole, broken]) {
      await cp(trained, path, { recursive: true, verbatimSymlinks: true });
      await writeFile(join(path, 'maas.config.yaml'), config(pass));
    }
    const began = performance.now();
    const { digest } = await maasJson<StageJson>(whole, ['compress']);
    const span = performance.now() - began;
    const artifacts = join(broken, '.maas', 'artifacts', 'compress');
    let killed = 0;
    for (let at = 1; at <= kills; at++) {
      const { child, next, ended } = startMaas(broken, ['compress']);
      await next(({ event }) => event === 'stage-start');
      await wait((span * at) / (kills + 2));
      child.kill('SIGKILL');
      const { code } = await ended;
      if (code === 0) break;
      killed++;
      // Nothing that is half written is to be seen; on a busy machine the kill may come just behind the end.
      expect([[], [digest]]).toContainEqual(existsSync(artifacts) ? await readdir(artifacts) : []);
    }
    expect(killed).toBeGreaterThan(0);
    const again = await maasJson<StageJson>(broken, ['compress']);
    expect(again.digest).toBe(digest);
    expect(await readdir(artifacts)).toEqual([digest]);
  },
  180_000,
);
