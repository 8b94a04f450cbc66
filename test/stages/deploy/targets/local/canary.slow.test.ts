import { appendFile, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCanary } from '../../../../../src/artifacts/canary-file.js';
import type { CanaryOptions, Release, TargetContext } from '../../../../../src/plugin/api.js';
import { canaryOptions } from '../../../../../src/stages/deploy/canary/options.js';
import { localTarget } from '../../../../../src/stages/deploy/index.js';
import { deploy, makeContext, makeRoot } from '../../../../conformance/target-suite.js';
import { buildRelease, makeModel, makeProject, makeRelease, type Trait } from '../../make-release.js';
import { Callers, startServer, type TestServer } from './traffic.js';

const script = fileURLToPath(new URL('./dies-at.mjs', import.meta.url));

interface Recorded {
  readonly outcome: string;
  readonly release: string;
  readonly requests: number;
  readonly errors: number;
  readonly shadowed: number;
  readonly different: number;
  readonly greatestDifference?: number;
}

describe('a release that is tried on part of the requests', () => {
  let root: string;
  let server: TestServer;
  const releases = new Map<string, Release>();

  beforeAll(async () => {
    root = await makeRoot('maas-canary-');
    const project = await makeProject(root);
    await appendFile(project.configFile, 'deploy: { target: local }\n');
    const first = await makeRelease(root, 0, project);
    releases.set('first', first.artifact);
    const others: [string, number, Trait?][] = [
      ['next', 8],
      ['failing', 9, 'fails'],
      ['slow', 10, 'slow'],
      ['last', 11],
    ];
    for (const [name, variant, trait] of others) {
      const model = await makeModel(project, first.store, variant, trait);
      releases.set(name, (await buildRelease(project, first.store, model)).artifact);
    }
    await deploy(localTarget, makeContext(root, localTarget.options.parse({})), release('first'));
    server = await startServer(root);
  }, 180_000);

  afterAll(async () => {
    await server.kill();
    await rm(root, { recursive: true, force: true });
  });

  const release = (name: string): Release => releases.get(name)!;

  function options(canary: object): CanaryOptions {
    return canaryOptions.parse({ url: server.url, minutes: 0, requests: 60, percent: 30, ...canary });
  }

  function context(canary: object, signal = new AbortController().signal): TargetContext {
    const made = makeContext(root, localTarget.options.parse({}));
    return { ...made, signal, canary: options(canary) };
  }

  async function trials(): Promise<Recorded[]> {
    const text = await readFile(join(root, '.maas/deploy/canaries.jsonl'), 'utf8');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Recorded);
  }

  const lastTrial = async (): Promise<Recorded> => (await trials()).at(-1)!;

  /** Versions that answer by now. */
  const versions = async (): Promise<string[]> =>
    ((await (await fetch(`${server.url}/v2/models/things`)).json()) as { versions: string[] }).versions;

  async function until(expected: readonly string[]): Promise<void> {
    for (let tries = 0; (await versions()).join() !== expected.join(); tries += 1) {
      if (tries === 400) throw new Error(`${(await versions()).join()} is served`);
      await wait(25);
    }
  }

  async function whileAsked<T>(row: object | undefined, work: () => Promise<T>, isFine = true): Promise<T> {
    const callers = new Callers(server.url, row, 4);
    try {
      return await work();
    } finally {
      await callers.stop();
      if (isFine) expect(callers.failed).toEqual([]);
      expect(callers.answered).toBeGreaterThan(50);
    }
  }

  /** Requests that the deploy under way has noted of its candidate. */
  async function countKept(): Promise<number> {
    const order = await readCanary(join(root, '.maas/deploy'));
    const kept = order?.watched as { candidate: { requests?: number } } | undefined;
    return kept?.candidate.requests ?? 0;
  }

  const isThere = (file: string): Promise<boolean> =>
    stat(join(root, '.maas/deploy', file)).then(
      () => true,
      () => false,
    );

  it('gets all of them when it does as well', async () => {
    await whileAsked(undefined, () => deploy(localTarget, context({ shadow: true }), release('next')));
    expect(await localTarget.current(context({}))).toBe(release('next').digest);
    await until([release('next').digest]);
    const trial = await lastTrial();
    expect(trial).toMatchObject({ outcome: 'passed', release: release('next').digest, errors: 0 });
    expect(trial.requests).toBeGreaterThanOrEqual(60);
    expect(trial.shadowed).toBeGreaterThan(0);
    expect(trial.different).toBeGreaterThan(0);
    expect(trial.greatestDifference).toBeGreaterThan(0);
    expect(await isThere('canary.json')).toBe(false);
  }, 60_000);

  it.each([
    ['fails', 'failing', /requests failed/, { width: 1, height: -99, colour: 'red' }],
    [
      'is slow',
      'slow',
      /a run takes .* ms, .* times the .* ms of the current release|a request takes/,
      undefined,
    ],
  ])(
    'gets none of them when it %s',
    async (_, name, reason, row) => {
      const told: unknown[] = [];
      const canary = { ...context({}), onCanary: (figures: unknown) => told.push(figures) };
      // Golden rows hold no such height: nothing but real requests could have told.
      const tried = () => deploy(localTarget, canary, release(name));
      await expect(whileAsked(row, tried, row === undefined)).rejects.toMatchObject({
        code: 'MAAS_CANARY_FAILED',
        exitCode: 3,
        message: expect.stringMatching(reason) as string,
      });
      expect(told).toHaveLength(1);
      expect(await localTarget.current(context({}))).toBe(release('next').digest);
      expect(await lastTrial()).toMatchObject({ outcome: expect.stringMatching(reason) as string });
      await until([release('next').digest]);
      await whileAsked(row, () => wait(300));
    },
    60_000,
  );

  it('gets none at all where it only shadows them', async () => {
    const seen = new Set<string>();
    let isOver = false;
    const look = async (): Promise<void> => {
      const inputs = [
        { name: 'features', datatype: 'FP32', shape: [1, 2], data: [1, 2] },
        { name: 'colour', datatype: 'BYTES', shape: [1, 1], data: ['red'] },
      ];
      while (!isOver) {
        const answer = await fetch(`${server.url}/v2/models/things/infer`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ inputs }),
        });
        seen.add(((await answer.json()) as { model_version: string }).model_version);
      }
    };
    const canary = context({ percent: 0, shadow: true, maxDifferentRate: 0 });
    const tried = deploy(localTarget, canary, release('last')).finally(() => (isOver = true));
    const refused = expect(tried).rejects.toThrow(/answers \d+ of \d+ requests otherwise, 0 % may be/);
    await Promise.all([look(), refused]);
    expect([...seen]).toEqual([release('next').digest]);
    await until([release('next').digest]);
  }, 60_000);

  it('goes on where a kill ended the deploy', async () => {
    const words = [script, root, release('last').path, '0'];
    const patient = JSON.stringify(options({ requests: 1_000_000 }));
    await whileAsked(undefined, async () => {
      const deploying = execa(process.execPath, [...words, patient], { reject: false });
      await until([release('next').digest, release('last').digest]);
      // Its figures are kept every five seconds.
      let before = 0;
      while (before <= 100) {
        await wait(250);
        before = await countKept();
      }
      deploying.kill('SIGKILL');
      expect((await deploying).signal).toBe('SIGKILL');
      expect(await isThere('canary.json')).toBe(true);
      await deploy(localTarget, context({ requests: before + 1 }), release('last'));
      expect((await lastTrial()).requests).toBeGreaterThan(before);
    });
    await until([release('last').digest]);
  }, 60_000);

  it('needs a server that can be watched', async () => {
    const nowhere = context({ url: 'http://127.0.0.1:9' });
    await expect(deploy(localTarget, nowhere, release('first'))).rejects.toMatchObject({
      code: 'MAAS_CANARY_SERVER',
      exitCode: 4,
    });
    expect(await isThere('canary.json')).toBe(false);
    expect(await localTarget.current(nowhere)).toBe(release('last').digest);
  });

  it('is no longer tried when it is rolled back over', async () => {
    const stop = new AbortController();
    const patient = context({ requests: 1_000_000 }, stop.signal);
    await whileAsked(undefined, async () => {
      const tried = deploy(localTarget, patient, release('first'));
      const rollBack = async (): Promise<void> => {
        await until([release('last').digest, release('first').digest]);
        await localTarget.rollback(context({}), 1);
        await until([release('next').digest]);
      };
      await Promise.all([expect(tried).rejects.toThrow(/ended by somebody else/), rollBack()]);
    });
  }, 60_000);
});
