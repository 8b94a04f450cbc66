import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maas, maasJson, startMaas, template, type StageJson } from '../../../e2e/maas.js';

const hasMpi = /open ?mpi/i.test(String(spawnSync('mpirun', ['--version']).stdout));
if (!hasMpi) console.warn('skipped: there is no Open MPI here; apt-get install openmpi-bin');

const hasMpich = /hydra/i.test(String(spawnSync('mpiexec.hydra', ['--version']).stdout));
if (!hasMpich) console.warn('skipped: there is no MPICH here; apt-get install mpich');

const on = (processes: number, seed: number) => [
  'train',
  ...['--set', `train.distributed.processes=${processes}`, '--set', `seed=${seed}`],
  ...['--set', 'train.epochs=80', '--set', 'train.engine.onnx.checkpointSeconds=0.05'],
];

/** Processes of ranks that work for `project`. */
async function ranksOf(project: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (
      words.includes('rank.js') &&
      words.includes(project) &&
      !words.startsWith('mpirun') &&
      !words.startsWith('sh')
    ) {
      found.push(Number(pid));
    }
  }
  return found;
}

describe.skipIf(!hasMpi)('training over MPI', () => {
  let project: string;
  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'maas-mpi-'));
    await cp(join(template, 'data'), join(project, 'data'), { recursive: true });
    const config = await readFile(join(template, 'maas.config.yaml'), 'utf8');
    await writeFile(join(project, 'maas.config.yaml'), config);
  });
  afterAll(() => rm(project, { recursive: true, force: true, maxRetries: 3 }));

  it('gives the same bytes from run to run', async () => {
    const first = await maasJson<StageJson>(project, on(2, 1));
    const second = await maasJson<StageJson>(project, [...on(2, 1), '--force']);
    expect(second.digest).toBe(first.digest);
  }, 300_000);

  it('takes the same 102 steps of SGD on 1, 2 and 4 ranks', async () => {
    const sgd = ['--set', 'train.optimizer={sgd: {learningRate: 0.1}}', '--set', 'train.epochs=17'];
    const lossesOn = async (ranks: number) => {
      const { artifact } = await maasJson<StageJson & { readonly artifact: string }>(project, [
        ...on(ranks, 4),
        ...sgd,
      ]);
      const { epochs } = JSON.parse(await readFile(join(artifact, 'history.json'), 'utf8')) as {
        readonly epochs: readonly { readonly loss: number }[];
      };
      return epochs.map(({ loss }) => loss);
    };
    const alone = await lossesOn(1);
    expect(alone).toHaveLength(17);
    for (const ranks of [2, 4]) {
      for (const [epoch, loss] of (await lossesOn(ranks)).entries()) {
        expect(Math.abs(loss - alone[epoch]!), `epoch ${epoch + 1} on ${ranks} ranks`).toBeLessThan(1e-5);
      }
    }
  }, 300_000);

  it('goes on from the checkpoint when a rank is killed, and ends in the same model', async () => {
    const running = startMaas(project, on(2, 2));
    await running.next(({ event, epoch }) => event === 'train-progress' && Number(epoch) >= 5);
    const [, last] = await ranksOf(project);
    process.kill(last!, 'SIGKILL');
    const { code, stderr } = await running.ended;
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    const notes = running.events.filter(({ event }) => event === 'note').map(({ text }) => String(text));
    expect(notes.join('\n')).toMatch(/went on from the checkpoint with 2 ranks/);
    const broken = running.events.find(({ event }) => event === 'stage-done')!['digest'];
    const whole = await maasJson<StageJson>(project, [...on(2, 2), '--force']);
    expect(broken).toBe(whole.digest);
  }, 300_000);

  it.skipIf(!hasMpich)(
    'gives the same bytes from run to run with MPICH',
    async () => {
      const mpich = [...on(2, 1), '--set', 'train.distributed.launcher=mpich', '--set', 'train.epochs=20'];
      const first = await maasJson<StageJson>(project, mpich);
      const second = await maasJson<StageJson>(project, [...mpich, '--force']);
      expect(second.digest).toBe(first.digest);
    },
    300_000,
  );

  it('says which package is missing', async () => {
    const { code, stderr } = await maas(project, on(2, 3), {
      env: { PATH: '/nowhere', NO_COLOR: '1' },
      extendEnv: false,
    });
    expect(code).toBe(4);
    expect(stderr).toContain('apt-get install openmpi-bin');
  }, 60_000);
});
