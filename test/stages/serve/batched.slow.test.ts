import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve, type Server } from '../../e2e/maas.js';
import type { Feeds } from '../../../src/runtime/session.js';
import { openModel } from '../../../src/stages/serve/loaded-model.js';
import { RequestError } from '../../../src/stages/serve/request-error.js';
import { Judge, sendChecked, type Tally } from './traffic/check.js';
import { randomFrom, subjects, type Subject } from './traffic/subjects.js';

/** `MAAS_REQUESTS=1000000` makes a long test of it. */
const requests = Number(process.env['MAAS_REQUESTS'] ?? 50_000);
const share = Math.ceil(requests / 4);
const timeout = 40_000 + requests * 2;

let root: string;
let judge: Judge;
let total = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'maas-batched-'));
  judge = await Judge.open(subjects);
});
afterAll(async () => {
  await judge.close();
  await rm(root, { recursive: true, force: true });
  console.log(`${total} answers held against direct sessions`);
});

/** Puts a version in place whole: even ones are the first of the two models. */
async function publish(folder: string, { name, models }: Subject, version: number): Promise<void> {
  const draft = join(folder, name, `.${version}`);
  await mkdir(draft, { recursive: true });
  await writeFile(join(draft, 'model.onnx'), models[version % 2 === 0 ? 0 : 1]);
  await rename(draft, join(folder, name, String(version)));
}

async function shelve(folder: string): Promise<string> {
  for (const subject of subjects) await publish(folder, subject, 0);
  return folder;
}

async function startServer(folder: string, workers: number | 'auto'): Promise<Server> {
  await writeFile(
    join(folder, 'maas.config.yaml'),
    `name: traffic\ndata: { source: none.csv, target: x }\ntrain: { model: { preset: mlp } }\nserve: { workers: ${workers}, models: { encoder: { padding: { S: {} } } } }\n`,
  );
  const server = await serve(folder, ['--models', folder]);
  while (!(await fetch(`${server.url}/v2/health/ready`)).ok) await sleep(20);
  return server;
}

const send = async (server: Server, seed: number, callers = 32): Promise<Tally> => {
  const port = Number(new URL(server.url).port);
  const modelOf = (version: string): 0 | 1 => (Number(version) % 2 === 0 ? 0 : 1);
  const tally = await sendChecked({
    port: () => port,
    subjects,
    judge,
    requests: share,
    callers,
    seed,
    modelOf,
  });
  total += tally.checked;
  return tally;
};

const warningsOf = ({ events }: Server): unknown => events.filter(({ event }) => event === 'warning');

describe('answers under batching equal those of the direct session, for every caller', () => {
  it.each([
    ['in the thread of the server', 0],
    ['in worker threads', 2],
  ] as const)('%s', { timeout }, async (_where, workers) => {
    const server = await startServer(await shelve(join(root, `workers-${workers}`)), workers);
    const { wrong, refused, checked, failed } = await send(server, workers + 1, 48);
    expect(warningsOf(server)).toEqual([]);
    expect(wrong).toEqual([]);
    expect(refused).toBe(0);
    expect(checked + failed).toBe(share);
    expect(checked).toBeGreaterThan(0.9 * share);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/^maas_padded_elements_total\{model="encoder".*kind="padding"\} [1-9]/m);
    expect((await server.stop()).code).toBe(0);
  });

  it('while versions come and go', { timeout }, async () => {
    const folder = await shelve(join(root, 'reload'));
    const server = await startServer(folder, 'auto');
    let done = false;
    let versions = 0;
    const isServed = ({ name }: Subject, version: number): boolean =>
      server.events.some(
        ({ event, model, digest }) => event === 'serving' && model === name && digest === String(version),
      );
    const change = async (): Promise<void> => {
      for (let version = 1; !done; version++) {
        for (const subject of subjects) await publish(folder, subject, version);
        for (const subject of subjects) {
          // One that is taken away before the next is up would leave none.
          while (!done && !isServed(subject, version)) await sleep(20);
          if (done) return;
          await rm(join(folder, subject.name, String(version - 1)), { recursive: true, force: true });
        }
        versions = version;
      }
    };
    const changing = change();
    const tallies: Tally[] = [];
    // On a machine that is busy versions take longer to load: then it goes on until there were some.
    while (tallies.length === 0 || (versions < 3 && tallies.at(-1)!.wrong.length === 0))
      tallies.push(await send(server, 7 + tallies.length));
    done = true;
    await changing;
    expect(warningsOf(server)).toEqual([]);
    expect(tallies.flatMap(({ wrong }) => wrong)).toEqual([]);
    for (const { refused, checked, failed } of tallies)
      expect([refused, checked + failed]).toEqual([0, share]);
    expect(server.events.filter(({ event }) => event === 'serving').length).toBeGreaterThan(subjects.length);
    expect((await server.stop()).code).toBe(0);
  });

  it('while workers die', { timeout }, async () => {
    const subject = subjects.find(({ name }) => name === 'perceptron')!;
    let lost = 0;
    const model = await openModel(
      { name: 'x', version: '1', projectName: 'x', model: subject.models[0], size: 1 },
      {
        threads: 1,
        workers: 2,
        maxBatchSize: 16,
        maxQueue: 1000,
        onLost: () => lost++,
        workerEntry: new URL('traffic/mortal-worker.js', import.meta.url),
      },
    );
    let [checked, refused, left] = [0, 0, share];
    const wrong: string[] = [];
    const converse = async (index: number): Promise<void> => {
      const random = randomFrom(index);
      while (left-- > 0 && wrong.length < 10) {
        const feeds: Feeds = subject.draw(random);
        try {
          const outputs = await model.predict(feeds);
          const found = await judge.judge(subject, 0, feeds, outputs);
          if (found !== undefined) wrong.push(found);
          checked++;
        } catch (error) {
          if (!(error instanceof RequestError) || error.status !== 503) throw error;
          refused++;
          await sleep(2);
        }
      }
    };
    await Promise.all(Array.from({ length: 32 }, (_, index) => converse(index)));
    await model.close();
    total += checked;
    expect(wrong).toEqual([]);
    expect(checked + refused).toBe(share);
    expect(checked).toBeGreaterThan(0);
    expect(lost).toBeGreaterThan(0);
  });
});
