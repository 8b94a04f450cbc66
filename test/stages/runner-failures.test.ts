import { existsSync } from 'node:fs';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MaasError } from '../../src/errors.js';
import { brief, makeBench } from './fixtures.js';

describe('damage', () => {
  it('of the stage’s own artifact is mended, and said', async () => {
    const bench = await makeBench();
    const [train] = await bench.run({ only: 'train' });
    await writeFile(join(train!.artifact!, 'model.txt'), 'edited by hand');
    const [again] = await bench.run({ only: 'train' });
    const short = train!.digest!.slice(0, 12);
    expect(again).toMatchObject({
      status: 'done',
      digest: train!.digest,
      why: [`artifact ${short} of train has 14 bytes in model.txt, not 12`],
      notes: [`artifact ${short} of train has 14 bytes in model.txt, not 12: made again`, 'train worked'],
    });
    expect(await readFile(join(train!.artifact!, 'model.txt'), 'utf8')).toBe('d1 7 train:a');
  });

  it('of a lost artifact is mended, and said', async () => {
    const bench = await makeBench();
    const [train] = await bench.run({ only: 'train' });
    await rm(train!.artifact!, { recursive: true });
    const [again] = await bench.run({ only: 'train' });
    expect(again!.why).toEqual([`artifact ${train!.digest!.slice(0, 12)} of train is gone`]);
    expect(again!.digest).toBe(train!.digest);
  });

  it('of the pointer is mended from the cache', async () => {
    const bench = await makeBench();
    const [train] = await bench.run({ only: 'train' });
    await writeFile(join(bench.root, '.maas', 'stages', 'train.json'), 'x');
    const [again] = await bench.run({ only: 'train' });
    expect(again).toMatchObject({ status: 'cached', digest: train!.digest });
    expect(again!.notes[0]).toBe('the record of train cannot be read: mended from the cache');
    expect((await bench.context().store.current('train'))!.digest).toBe(train!.digest);
  });

  it('of an input is refused', async () => {
    const bench = await makeBench();
    const [train, compress] = await bench.run();
    await writeFile(join(train!.artifact!, 'model.txt'), 'x'.repeat(12));
    const { error } = await bench.fail({ only: 'compress' });
    expect(error).toMatchObject({
      code: 'MAAS_ARTIFACT_CORRUPT',
      hint: 'Run `maas train --force` to make it again.',
      place: { file: join(train!.artifact!, 'model.txt') },
    });
    expect((await bench.context().store.current('compress'))!.digest).toBe(compress!.digest);
    // `maas run` mends it and finds everything after it unchanged.
    expect(brief(await bench.run())).toEqual(['train done', 'compress cached', 'deploy cached']);
  });
});

describe('a failure', () => {
  it('leaves the former pointer, and no lock, and runs no later stage', async () => {
    const bench = await makeBench();
    const first = await bench.run();
    bench.config['train'] = { text: 'b' };
    bench.behaviour.onWork = ({ result }, stage) => {
      result.measured['accuracy'] = 0.1;
      if (stage === 'compress') throw new MaasError('MAAS_GATE_FAILED', 'accuracy fell');
    };
    const { error, outcomes } = await bench.fail();
    expect(error).toMatchObject({ code: 'MAAS_GATE_FAILED', exitCode: 3 });
    expect(brief(outcomes)).toEqual(['train done', 'compress failed']);
    expect(outcomes[1]).toMatchObject({ measured: { accuracy: 0.1 } });
    const { store } = bench.context();
    expect((await store.current('compress'))!.digest).toBe(first[1]!.digest);
    expect(await readFile(join(bench.root, 'current'), 'utf8')).toBe(first[2]!.digest);
    expect(await readdir(join(bench.root, '.maas', 'tmp'))).toEqual([]);
    await (
      await store.lock('test')
    )();
  });

  it('of an effect leaves the artifact, and the next run tries the effect again', async () => {
    const bench = await makeBench();
    bench.behaviour.onEffect = () => {
      throw new MaasError('MAAS_VERIFY_FAILED', 'no answer');
    };
    const { error, outcomes } = await bench.fail();
    expect(error).toMatchObject({ code: 'MAAS_VERIFY_FAILED' });
    expect(brief(outcomes)).toEqual(['train done', 'compress done', 'deploy failed']);
    bench.behaviour.onEffect = () => undefined;
    const second = await bench.run();
    expect(brief(second)).toEqual(['train cached', 'compress cached', 'deploy done']);
    expect(bench.behaviour.works['deploy']).toBe(1);
  });

  it('of the disk is told as such', async () => {
    const bench = await makeBench();
    bench.behaviour.onWork = () => {
      throw Object.assign(new Error('x'), { code: 'ENOSPC', path: '/full' });
    };
    expect((await bench.fail()).error).toMatchObject({
      code: 'MAAS_DISK',
      message: 'train cannot read or write a file: ENOSPC /full',
    });
  });

  it('that is a bug keeps its error', async () => {
    const bench = await makeBench();
    const bug = new TypeError('x is undefined');
    bench.behaviour.onWork = () => {
      throw bug;
    };
    expect((await bench.fail()).error).toBe(bug);
    expect(bench.events.at(-1)).toMatchObject({ event: 'stage-failed', code: 'MAAS_BUG' });
  });

  it('of a key that states what the runner states is a bug', async () => {
    const bench = await makeBench();
    bench.stages[0] = { ...bench.stages[0]!, key: () => Promise.resolve({ seed: 1 }) };
    expect((await bench.fail()).error).toMatchObject({
      message: expect.stringContaining('states seed') as string,
    });
  });

  it('is a lock held by another run', async () => {
    const bench = await makeBench();
    const unlock = await bench.context().store.lock('deploy');
    expect((await bench.fail()).error).toMatchObject({ code: 'MAAS_LOCKED', details: { doing: 'deploy' } });
    await unlock();
    await bench.run();
    // Where nothing has to be done, nobody is in the way.
    const again = await bench.context().store.lock('deploy');
    expect(brief(await bench.run())).toEqual(['train cached', 'compress cached', 'deploy cached']);
    await again();
  });
});

describe('an interruption', () => {
  it('ends before the next step, keeps the work folder and leaves no half artifact', async () => {
    const bench = await makeBench();
    bench.behaviour.onWork = async ({ work }) => {
      await writeFile(join(work, 'checkpoint'), '1');
      bench.abort.abort(new Error('SIGINT'));
    };
    const { error, outcomes } = await bench.fail();
    expect(error).toMatchObject({ code: 'MAAS_INTERRUPTED', exitCode: 130 });
    expect(brief(outcomes)).toEqual(['train failed']);
    const { store } = bench.context();
    expect(await store.current('train')).toBeUndefined();
    expect(await readdir(join(bench.root, '.maas', 'tmp'))).toEqual([]);

    bench.abort = new AbortController();
    bench.behaviour.onWork = async ({ work }, stage) => {
      expect(await readdir(work)).toEqual(stage === 'train' ? ['checkpoint'] : []);
    };
    expect(brief(await bench.run())).toEqual(['train done', 'compress done', 'deploy done']);
  });

  it('before the run starts nothing', async () => {
    const bench = await makeBench();
    bench.abort.abort();
    expect((await bench.fail()).error).toMatchObject({ code: 'MAAS_INTERRUPTED' });
    expect(bench.behaviour.works).toEqual({});
    expect(existsSync(join(bench.root, '.maas'))).toBe(false);
  });
});
