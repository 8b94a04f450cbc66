import { expect, it } from 'vitest';
import { makeBench } from './fixtures.js';

it('selects stretches of the pipeline', async () => {
  const bench = await makeBench();
  expect(bench.open().stages).toEqual(['train', 'compress', 'deploy']);
  expect(bench.open({ from: 'compress' }).stages).toEqual(['compress', 'deploy']);
  expect(bench.open({ to: 'compress' }).stages).toEqual(['train', 'compress']);
  expect(bench.open({ from: 'compress', to: 'compress' }).stages).toEqual(['compress']);
  expect(bench.open({ only: 'deploy' }).stages).toEqual(['deploy']);
  delete bench.config['compress'];
  expect(bench.open().stages).toEqual(['train', 'deploy']);
});

it('refuses what is not there', async () => {
  const bench = await makeBench();
  const refusal = (selection: Parameters<typeof bench.open>[0]) => {
    try {
      bench.open(selection);
    } catch (error) {
      return error;
    }
    throw new Error('was not refused');
  };
  expect(refusal({ from: 'trian' })).toMatchObject({
    code: 'MAAS_USAGE',
    message: 'there is no stage trian',
    hint: 'The stages are train, compress, deploy.',
  });
  expect(refusal({ from: 'deploy', to: 'train' })).toMatchObject({
    code: 'MAAS_USAGE',
    message: 'deploy comes after train in the pipeline',
  });
  delete bench.config['compress'];
  expect(refusal({ only: 'compress' })).toMatchObject({
    code: 'MAAS_USAGE',
    message: 'the config has no compress section',
    place: { file: expect.stringContaining('maas.config.yaml') as string },
  });
  bench.config = {};
  expect(refusal({})).toMatchObject({ code: 'MAAS_USAGE', message: 'the config has no stage to run' });
});
