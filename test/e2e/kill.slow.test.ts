import { cp } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  maasJson,
  makeProject,
  post,
  serve,
  startMaas,
  type RunJson,
  type TemporaryProject,
} from './maas.js';

/**
 * A project with one release deployed is trained, compressed and deployed under another seed, and killed over and over
 * while a server follows it and is asked all the time. Every answer must be, to the last digit, what one whole release
 * answers; and the end must be the same as that of a run that nobody disturbed.
 */

const killsPerStage = 7;
const otherSeed = ['--set', 'seed=4242'];
const flowers = [
  { sepal_length: 5.1, sepal_width: 3.5, petal_length: 1.4, petal_width: 0.2 },
  { sepal_length: 5.9, sepal_width: 3.0, petal_length: 4.2, petal_width: 1.5 },
  { sepal_length: 6.7, sepal_width: 3.0, petal_length: 5.2, petal_width: 2.3 },
];
const tensor = {
  inputs: [
    {
      name: 'features',
      datatype: 'FP32',
      shape: [flowers.length, 4],
      data: flowers.flatMap((flower) => Object.values(flower)),
    },
  ],
};

interface Answer {
  readonly model_version: string;
  readonly outputs: readonly { readonly name: string; readonly data: readonly unknown[] }[];
}

let unbroken: TemporaryProject;
let broken: TemporaryProject;
let before: RunJson;
let after: RunJson;
/** What each whole release answers, by digest. */
const truth = new Map<string, string>();

let modelName: string;

const ask = (url: string): Promise<Answer> => post(`${url}/v2/models/${modelName}/infer`, tensor);

beforeAll(async () => {
  unbroken = await makeProject();
  broken = await makeProject();
  before = await maasJson<RunJson>(unbroken.path, ['run']);
  // The same project in another place, from here on.
  await cp(unbroken.path, broken.path, { recursive: true, verbatimSymlinks: true });
  await learn(unbroken.path);
  after = await maasJson<RunJson>(unbroken.path, ['run', ...otherSeed]);
  await learn(unbroken.path);
}, 120_000);
afterAll(async () => {
  await unbroken.remove();
  await broken.remove();
});

async function learn(path: string): Promise<void> {
  const server = await serve(path);
  modelName = server.events.find(({ event }) => event === 'serving')!['model'] as string;
  const { model_version, outputs } = await ask(server.url);
  truth.set(model_version, JSON.stringify(outputs));
  await server.stop();
}

it('survives kill -9 at any point of train, compress and deploy', async () => {
  expect([...truth.keys()]).toEqual([before.release!.digest, after.release!.digest]);
  const server = await serve(broken.path);
  const seen: { version: string; outputs: string }[] = [];
  let asking = true;
  const asker = (async () => {
    while (asking) {
      const { model_version, outputs } = await ask(server.url);
      seen.push({ version: model_version, outputs: JSON.stringify(outputs) });
      await wait(20);
    }
  })();

  const kills: string[] = [];
  try {
    for (const stage of ['train', 'compress', 'deploy']) {
      let killed = 0;
      let wasKilled = false;
      let delay = 0;
      let span = await timeStage(stage);
      for (let attempt = 0; killed < killsPerStage && attempt < 4 * killsPerStage; attempt++) {
        // Every third run goes on from where the one before was killed, and is killed halfway through what is left.
        const resumed = wasKilled && attempt % 3 === 2;
        delay = resumed ? (span - delay) / 2 : (span * (killed + 0.5)) / killsPerStage;
        const run = startMaas(broken.path, [stage, ...otherSeed, ...(resumed ? [] : ['--force'])]);
        await run.next(({ event }) => event === 'stage-start');
        const timer = setTimeout(() => run.child.kill('SIGKILL'), delay);
        wasKilled = (await run.ended).signal === 'SIGKILL';
        clearTimeout(timer);
        if (wasKilled) {
          killed++;
          kills.push(`${stage} ${Math.round(delay)} ms${resumed ? ' (resumed)' : ''}`);
        } else {
          expect(run.events.at(-1)).toMatchObject({ event: 'result', digest: after.stages[stage]!.digest });
          if (!resumed) span *= 0.8;
        }
      }
      const { digest } = await maasJson<{ digest: string }>(broken.path, [stage, ...otherSeed]);
      expect(digest, stage).toBe(after.stages[stage]!.digest);
    }
    for (let tries = 0; tries < 200 && seen.at(-1)!.version !== after.release!.digest; tries++)
      await wait(25);
  } finally {
    asking = false;
    await asker;
    await server.stop();
  }

  console.log(`killed ${kills.length} times, asked ${seen.length} times: ${kills.join(', ')}`);
  expect(kills.length).toBeGreaterThanOrEqual(20);
  expect(seen.length).toBeGreaterThan(100);
  // The server was there all the time, with the old release and then with the new one, and with nothing in between.
  expect(new Set(seen.map(({ version }) => version))).toEqual(new Set(truth.keys()));
  const versions = seen.map(({ version }) => version);
  expect(versions.indexOf(after.release!.digest)).toBeGreaterThan(
    versions.lastIndexOf(before.release!.digest),
  );
  for (const { version, outputs } of seen) expect(outputs).toBe(truth.get(version));
  expect(await maasJson<RunJson>(broken.path, ['run', ...otherSeed])).toMatchObject({
    status: 'cached',
    release: { digest: after.release!.digest },
  });
}, 180_000);

/** Milliseconds that the whole stage takes here and now, from its first event on; measured in the other project. */
async function timeStage(stage: string): Promise<number> {
  const { next, ended } = startMaas(unbroken.path, [stage, ...otherSeed, '--force']);
  await next(({ event }) => event === 'stage-start');
  const started = performance.now();
  expect(await ended).toMatchObject({ code: 0 });
  return performance.now() - started;
}
