import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maas, maasJson, makeProject, startMaas, type StageJson, type TemporaryProject } from './maas.js';

interface Folds {
  readonly folds: readonly { readonly figures: { readonly accuracy: number }; readonly epochs: number }[];
}

const short = ['--set', 'train.epochs=6'];
const args = ['train', '--folds', '4', ...short];
/** Ends early, by the validation loss, which nothing has in the training on all rows. */
const watching = ['--set', 'train.earlyStopping={patience: 1}', '--set', 'train.epochs=40'];

describe('maas train --folds', () => {
  let [project, other]: TemporaryProject[] = [];
  let unbroken: StageJson & { readonly notes: readonly string[] };
  beforeAll(async () => {
    [project, other] = [await makeProject(), await makeProject()];
    unbroken = await maasJson(project.path, args);
  }, 120_000);
  afterAll(() => Promise.all([project!.remove(), other!.remove()]));

  it('measures each fold on the rows that it held out, and trains on all of them', async () => {
    const { folds } = JSON.parse(await readFile(join(unbroken.artifact, 'folds.json'), 'utf8')) as Folds;
    expect(folds).toHaveLength(4);
    const mean = folds.reduce((sum, { figures }) => sum + figures.accuracy, 0) / 4;
    const { metrics, notes } = unbroken;
    expect((metrics['folds'] as { accuracy: { mean: number } }).accuracy.mean).toBeCloseTo(mean, 12);
    expect(metrics['rows']).toMatchObject({ train: expect.any(Number) as number, validation: 0 });
    const rows = metrics['rows'] as Record<string, number>;
    expect(rows['train']! + rows['test']!).toBe(150);
    expect(metrics).not.toHaveProperty('validation');
    expect(notes.join()).toMatch(/4 folds: accuracy [01]\.\d{4} ± 0\.\d{4}/);
    const history = await readFile(join(unbroken.artifact, 'history.json'), 'utf8');
    expect(history).not.toContain('validation');
  });

  it('is cached, and read by the stages behind it', async () => {
    expect(await maasJson(project!.path, args)).toMatchObject({ status: 'cached' });
    const set = ['--set', 'train.folds=4', ...short];
    const run = await maasJson<{ stages: Record<string, StageJson> }>(project!.path, ['run', ...set]);
    expect(run.stages['train']!.status).toBe('cached');
    expect(run.stages['deploy']!.status).toBe('done');
  }, 120_000);

  it('goes on after a kill with the folds that are left, and ends in the same bytes', async () => {
    const first = startMaas(other!.path, args);
    expect(await first.next((event) => event['part'] === 'fold-3')).toBeDefined();
    first.child.kill('SIGKILL');
    await first.ended;
    const second = startMaas(other!.path, args);
    const { code } = await second.ended;
    expect(code).toBe(0);
    const parts = new Set(second.events.flatMap(({ part }) => (part === undefined ? [] : [part])));
    expect([...parts].filter((part) => part === 'fold-1' || part === 'fold-2')).toEqual([]);
    expect(parts).toContain('final');
    expect(second.events.at(-1)).toMatchObject({ digest: unbroken.digest });
  }, 120_000);

  it('stops when it is told to, and goes on', async () => {
    const seeded = [...args, '--set', 'seed=77'];
    const run = startMaas(other!.path, seeded);
    await run.next((event) => event['part'] === 'fold-2');
    run.child.kill('SIGINT');
    expect((await run.ended).code).toBe(130);
    const again = await maasJson<StageJson>(other!.path, seeded);
    expect(again.digest).toBe((await maasJson<StageJson>(project!.path, seeded)).digest);
  }, 120_000);

  it('trains on all rows for as long as the folds say, where they ended early', async () => {
    const { artifact, notes } = await maasJson<typeof unbroken>(project!.path, [
      'train',
      '--folds',
      '3',
      ...watching,
    ]);
    const { folds } = JSON.parse(await readFile(join(artifact, 'folds.json'), 'utf8')) as Folds;
    const mean = Math.round(folds.reduce((sum, { epochs }) => sum + epochs, 0) / 3);
    expect(notes.join()).toContain(`for ${mean} epochs, the mean of the folds`);
    const history = JSON.parse(await readFile(join(artifact, 'history.json'), 'utf8')) as {
      epochs: unknown[];
    };
    expect(history.epochs).toHaveLength(mean);
  }, 120_000);

  it.each([
    ['MAAS_DATA_SPLIT', ['--folds', '100', '--set', 'data.split={train: 0.1, validation: 0.1, test: 0.8}']],
    ['MAAS_DATA_SPLIT', ['--folds', '3', '--set', 'data.memory=0']],
    ['MAAS_CONFIG_INVALID', ['--folds', '3', '--set', 'train.distributed={processes: 2}']],
    ['MAAS_CONFIG_INVALID', ['--set', 'train.folds=1']],
  ])(
    'refuses what it cannot do: %s %j',
    async (error, given) => {
      const { code, stderr } = await maas(project!.path, ['train', ...given]);
      expect(code).toBe(2);
      expect(stderr).toContain(error);
    },
    60_000,
  );
});
