import { existsSync } from 'node:fs';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/artifacts/index.js';
import { brief, digests, makeBench } from './fixtures.js';

describe('a run', () => {
  it('works through the stages, each reading what the one before it left', async () => {
    const bench = await makeBench();
    const outcomes = await bench.run();
    expect(brief(outcomes)).toEqual(['train done', 'compress done', 'deploy done']);
    const [train, compress, deploy] = outcomes;
    expect(await readFile(join(deploy!.artifact!, 'model.txt'), 'utf8')).toBe(
      'd1 7 train:a compress: deploy:',
    );
    expect(deploy).toMatchObject({
      metrics: { length: 30 },
      measured: { works: 1, readyMs: 1 },
      notes: ['deploy worked'],
      why: ['never ran'],
    });
    const manifest = JSON.parse(await readFile(join(compress!.artifact!, 'manifest.json'), 'utf8')) as object;
    expect(manifest).toMatchObject({
      stage: 'compress',
      kind: 'model',
      name: 'iris',
      seed: 7,
      inputs: { model: train!.digest },
      options: digestOf({}),
      key: {},
      toolchain: { maas: '0.1.0', onnxruntime: '1.30.0' },
    });
    expect(await readFile(join(bench.root, 'current'), 'utf8')).toBe(deploy!.digest);
    // Nothing is left over.
    expect(await readdir(join(bench.root, '.maas', 'tmp'))).toEqual([]);
    expect(await readdir(join(bench.root, '.maas', 'work', 'train'))).toEqual([]);
    expect(existsSync(join(bench.root, '.maas', 'lock'))).toBe(false);
  });

  it('does nothing the second time, writes nothing, and says why', async () => {
    const bench = await makeBench();
    const first = await bench.run();
    const before = await readdir(bench.root, { recursive: true });
    bench.events.length = 0;
    const second = await bench.run();
    expect(brief(second)).toEqual(['train cached', 'compress cached', 'deploy cached']);
    expect(digests(second)).toEqual(digests(first));
    expect(second.map(({ why }) => why)).toEqual([
      ['nothing changed'],
      ['nothing changed'],
      ['nothing changed'],
    ]);
    expect(second[0]).toMatchObject({
      metrics: { length: 12 },
      measured: { works: 1 },
      notes: ['train worked'],
    });
    // What the effect measured is kept, too.
    expect(second[2]).toMatchObject({ measured: { works: 1, readyMs: 1 } });
    expect(bench.behaviour.works).toEqual({ train: 1, compress: 1, deploy: 1 });
    expect(bench.titles[0]).toBe(`train · cached ${first[0]!.digest!.slice(0, 12)}: nothing changed`);
    expect(bench.events.map(({ event }) => event)).toEqual(
      Array.from({ length: 3 }, () => ['stage-start', 'stage-cached']).flat(),
    );
    expect(await readdir(bench.root, { recursive: true })).toEqual(before);
  });

  it('tells its progress in events', async () => {
    const bench = await makeBench();
    const [train] = await bench.run({ only: 'train' });
    const { digest, seconds } = train!;
    const task = { event: 'task', stage: 'train' };
    expect(bench.events).toEqual([
      { event: 'stage-start', stage: 'train' },
      { ...task, title: 'write', state: 'start' },
      { ...task, title: 'write', state: 'done' },
      { ...task, title: 'end', state: 'start' },
      { ...task, title: 'end', state: 'done' },
      { ...task, title: 'save the model', state: 'start' },
      { ...task, title: 'save the model', state: 'done' },
      { event: 'note', stage: 'train', text: 'train worked' },
      { event: 'stage-done', stage: 'train', digest, seconds },
    ]);
  });

  it.each<[string, (bench: Awaited<ReturnType<typeof makeBench>>) => void, string]>([
    ['an option', (bench) => (bench.config['train'] = { text: 'b' }), 'options.text changed: a → b'],
    ['the seed', (bench) => (bench.seed = 8), 'seed changed: 7 → 8'],
    ['the data', (bench) => (bench.behaviour.data = 'd2'), 'data changed: d1 → d2'],
    ['an option more', (bench) => (bench.config['train'] = { text: 'a', n: [1] }), 'options.n[0] added: 1'],
    ['an option less', (bench) => (bench.config['train'] = {}), 'options.text removed (was a)'],
  ])('does again what %s changes, and what follows from it', async (_, change, why) => {
    const bench = await makeBench();
    const first = await bench.run();
    change(bench);
    const second = await bench.run();
    expect(second[0]).toMatchObject({ status: 'done', why: expect.arrayContaining([why]) as string[] });
    expect(second[0]!.digest).not.toBe(first[0]!.digest);
    expect(brief(second)).toEqual(['train done', 'compress done', 'deploy done']);
    const [from, to] = [first[0]!.digest!.slice(0, 12), second[0]!.digest!.slice(0, 12)];
    expect(second[1]!.why).toContain(`input.model changed: ${from}… → ${to}…`);
  });

  it('stops where the work leads to the same artifact as before', async () => {
    const bench = await makeBench();
    await bench.run();
    bench.stages[0] = { ...bench.stages[0]!, version: 2 };
    const second = await bench.run();
    expect(brief(second)).toEqual(['train done', 'compress cached', 'deploy cached']);
    expect(second[0]!.why).toEqual(['version changed: 1 → 2']);
  });

  it('does not work again for options that the artifact does not depend on', async () => {
    const bench = await makeBench();
    const [train] = bench.stages;
    bench.stages[0] = {
      ...train!,
      artifactOptions: (options) => ({ text: (options as { text: string }).text }),
    };
    const first = await bench.run({ only: 'train' });
    bench.config['train'] = { text: 'a', where: 'elsewhere' };
    expect(await bench.run({ only: 'train' })).toMatchObject([
      { status: 'cached', digest: first[0]!.digest },
    ]);
    bench.config['train'] = { text: 'b', where: 'elsewhere' };
    expect(await bench.run({ only: 'train' })).toMatchObject([
      { status: 'done', why: ['options.text changed: a → b'] },
    ]);
  });

  it('goes back to an earlier run without working again', async () => {
    const bench = await makeBench();
    const first = await bench.run();
    bench.config['train'] = { text: 'b' };
    await bench.run();
    bench.config['train'] = { text: 'a' };
    const third = await bench.run();
    expect(brief(third)).toEqual(['train cached', 'compress cached', 'deploy done']);
    expect(digests(third)).toEqual(digests(first));
    expect(third[0]!.why[0]).toMatch(/^made before, at 2/);
    expect(third[2]!.why[0]).toMatch(/ is made, but not in place$/);
    expect(bench.behaviour.works).toEqual({ train: 2, compress: 2, deploy: 2 });
    expect(await readFile(join(bench.root, 'current'), 'utf8')).toBe(first[2]!.digest);
    expect(brief(await bench.run())).toEqual(['train cached', 'compress cached', 'deploy cached']);
  });

  it('works again when it is forced, from an empty work folder, to the same digest', async () => {
    const bench = await makeBench();
    const first = await bench.run();
    const { store } = bench.context();
    const { key } = (await store.current('train'))!;
    await writeFile(join(await store.work('train', key), 'checkpoint'), 'bad');
    bench.behaviour.onWork = async ({ work }) => {
      expect(await readdir(work)).toEqual([]);
    };
    const second = await bench.run({}, true);
    expect(brief(second)).toEqual(['train done', 'compress done', 'deploy done']);
    expect(second[0]!.why).toEqual(['forced']);
    expect(digests(second)).toEqual(digests(first));
    expect(bench.behaviour.works).toEqual({ train: 2, compress: 2, deploy: 2 });
  });

  it('leaves out stages without a section', async () => {
    const bench = await makeBench();
    delete bench.config['compress'];
    const outcomes = await bench.run();
    expect(brief(outcomes)).toEqual(['train done', 'deploy done']);
    expect(await readFile(join(outcomes[1]!.artifact!, 'model.txt'), 'utf8')).toBe('d1 7 train:a deploy:');
  });

  it('reads what it made itself, whatever another run does in between', async () => {
    const bench = await makeBench();
    let meddled = false;
    const [train, compress] = bench.stages;
    bench.stages[1] = {
      ...compress!,
      key: async ({ store }) => {
        if (!meddled) {
          meddled = true;
          const other = await makeBench();
          other.behaviour.data = 'other';
          const [made] = await other.run({ only: 'train' });
          await store.record({
            ...(await store.current('train'))!,
            digest: made!.digest!,
            key: digestOf(train!.name),
          });
        }
        return {};
      },
    };
    const outcomes = await bench.run();
    expect(await readFile(join(outcomes[1]!.artifact!, 'model.txt'), 'utf8')).toBe('d1 7 train:a compress:');
    expect(await readFile(join(outcomes[2]!.artifact!, 'model.txt'), 'utf8')).toContain('d1 7');
  });
});

describe('one stage', () => {
  it('is refused while what it reads is not there', async () => {
    const bench = await makeBench();
    const { error, outcomes } = await bench.fail({ only: 'compress' });
    expect(error).toMatchObject({
      code: 'MAAS_STAGE_MISSING',
      message: 'compress needs the model of train, which has not run',
      hint: 'Run `maas train` first, or `maas run` for everything.',
    });
    expect(brief(outcomes)).toEqual(['compress failed']);
    expect(bench.events.at(-1)).toMatchObject({ event: 'stage-failed', code: 'MAAS_STAGE_MISSING' });
    // Deploying the uncompressed model is not what the config says.
    await bench.run({ only: 'train' });
    expect((await bench.fail({ only: 'deploy' })).error).toMatchObject({
      message: 'deploy needs the model of compress, which has not run',
    });
    delete bench.config['train'];
    delete bench.config['compress'];
    expect((await bench.fail({ only: 'deploy' })).error).toMatchObject({
      code: 'MAAS_STAGE_MISSING',
      message: 'deploy reads a model, and no stage before it writes one',
    });
  });

  it('warns of inputs that are out of date, and uses them', async () => {
    const bench = await makeBench();
    const first = await bench.run();
    expect((await bench.run({ only: 'deploy' }))[0]!.notes).toEqual(['deploy worked']);

    bench.config['train'] = { text: 'b' };
    const [deploy] = await bench.run({ only: 'deploy' });
    expect(deploy).toMatchObject({ status: 'cached', digest: first[2]!.digest });
    const short = (at: number) => first[at]!.digest!.slice(0, 12);
    const stale =
      `the model ${short(0)} of train is out of date and used as it is: ` +
      'options.text changed: a → b (`maas train` renews it)';
    expect(deploy!.notes).toEqual([stale, 'deploy worked']);
    expect(bench.events).toContainEqual({ event: 'warning', stage: 'deploy', text: stale });

    await bench.run({ only: 'train' });
    const [again] = await bench.run({ only: 'deploy' });
    expect(again!.notes[0]).toMatch(
      new RegExp(`^the model ${short(1)} of compress is out of date .*input.model changed: ${short(0)}… → `),
    );
    // Within one run there is nothing to warn of.
    expect((await bench.run({ from: 'compress' }))[1]!.notes).toEqual(['deploy worked']);
  });
});

describe('plan', () => {
  it('tells what would run and why, and changes nothing', async () => {
    const bench = await makeBench();
    expect(await bench.open().plan()).toMatchObject([
      { stage: 'train', status: 'run', why: ['never ran'] },
      { stage: 'compress', status: 'run', why: ['train runs first'] },
      { stage: 'deploy', status: 'run', why: ['compress runs first'] },
    ]);
    expect(await readdir(bench.root)).toEqual([]);

    const [train, , deploy] = await bench.run();
    expect((await bench.open().plan()).map(({ status, why }) => [status, why])).toEqual(
      Array.from({ length: 3 }, () => ['cached', ['nothing changed']]),
    );
    bench.config['compress'] = { text: 'int8', apiToken: 'hunter2' };
    const plans = await bench.open().plan();
    expect(plans.map(({ status }) => status)).toEqual(['cached', 'run', 'run']);
    expect(plans[0]!.digest).toBe(train!.digest);
    expect(plans[1]!.why).toEqual([
      expect.stringMatching(/^options\.apiToken added: secret [0-9a-f]{12}$/),
      'options.text added: int8',
    ]);

    delete bench.config['compress'];
    bench.config['compress'] = {};
    await rm(join(bench.root, 'current'));
    expect((await bench.open().plan())[2]).toMatchObject({
      stage: 'deploy',
      status: 'run',
      why: [`${deploy!.digest!.slice(0, 12)} is made, but not in place`],
      digest: deploy!.digest,
    });
  });
});

it('stays within bounds however often it runs', async () => {
  const bench = await makeBench();
  for (let n = 0; n < 8; n++) {
    bench.config['train'] = { text: String(n) };
    await bench.run();
  }
  for (const stage of ['train', 'compress', 'deploy']) {
    expect(await readdir(join(bench.root, '.maas', 'artifacts', stage))).toHaveLength(5);
    expect(await readdir(join(bench.root, '.maas', 'cache', stage))).toHaveLength(5);
  }
});
