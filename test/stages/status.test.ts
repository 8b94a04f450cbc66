import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { MaasError } from '../../src/errors.js';
import { readStatus } from '../../src/pipeline.js';
import { makeBench } from './fixtures.js';

it('tells where every stage stands', async () => {
  const bench = await makeBench();
  const tell = async () =>
    (await readStatus(bench.context())).map(({ stage, state, why }) => [stage, state, ...why]);
  expect(await tell()).toEqual([
    ['train', 'never', 'never ran'],
    ['compress', 'never', 'never ran'],
    ['deploy', 'never', 'never ran'],
  ]);
  expect(await readdir(bench.root)).toEqual([]);

  const outcomes = await bench.run();
  expect(await tell()).toEqual([
    ['train', 'fresh', 'nothing changed'],
    ['compress', 'fresh', 'nothing changed'],
    ['deploy', 'fresh', 'nothing changed'],
  ]);
  expect((await readStatus(bench.context()))[0]).toEqual({
    stage: 'train',
    state: 'fresh',
    digest: outcomes[0]!.digest,
    artifact: outcomes[0]!.artifact,
    metrics: { length: 12 },
    measured: { works: 1 },
    finishedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
    why: ['nothing changed'],
  });

  bench.config['train'] = { text: 'b' };
  expect(await tell()).toEqual([
    ['train', 'stale', 'options.text changed: a → b'],
    ['compress', 'stale', 'train is stale'],
    ['deploy', 'stale', 'compress is stale'],
  ]);

  await bench.run({ only: 'train' });
  const [train, compress] = await tell();
  expect(train).toEqual(['train', 'fresh', 'nothing changed']);
  expect(compress!.slice(0, 2)).toEqual(['compress', 'stale']);
  expect(compress![2]).toMatch(/^input\.model changed/);

  await bench.run();
  await rm(join(bench.root, 'current'));
  expect((await tell())[2]).toEqual(['deploy', 'stale', expect.stringMatching(/made, but not in place$/)]);

  // An earlier run is in the cache, but it is not what later stages read.
  bench.config['train'] = { text: 'a' };
  expect((await tell())[0]).toEqual(['train', 'stale', expect.stringMatching(/^made before, at /)]);
});

it('tells of damage and of data that is gone', async () => {
  const bench = await makeBench();
  const [train] = await bench.run();
  const tell = async () => (await readStatus(bench.context())).map(({ state, why }) => [state, ...why]);
  const [original] = bench.stages;
  bench.stages[0] = {
    ...original!,
    key: () => Promise.reject(new MaasError('MAAS_DATA_MISSING', 'there is no data/iris.csv')),
  };
  expect((await tell())[0]).toEqual(['stale', 'there is no data/iris.csv']);
  bench.stages[0] = original!;

  await writeFile(join(train!.artifact!, 'extra'), '');
  expect(await tell()).toEqual([
    ['corrupt', expect.stringContaining('holds extra')],
    ['stale', 'train is corrupt'],
    ['stale', 'compress is stale'],
  ]);
  await writeFile(join(bench.root, '.maas', 'stages', 'train.json'), '{');
  expect((await tell())[0]).toEqual(['corrupt', 'the record of train cannot be read']);
});
