import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maasJson, script, template, type StageJson } from '../../../e2e/maas.js';

const hasMpi = /open ?mpi/i.test(String(spawnSync('mpirun', ['--version']).stdout));
if (!hasMpi) console.warn('skipped: there is no Open MPI here; apt-get install openmpi-bin');

const words = (...settings: string[]) => [
  ...['train', '--json', '--quiet', '--set', 'train.epochs=20'],
  ...settings.flatMap((setting) => ['--set', setting]),
];

/** `mpirun -n 2 maas train …`, as a person would start it. */
function start(project: string, args: readonly string[]) {
  const asRoot = process.getuid?.() === 0 ? ['--allow-run-as-root'] : [];
  return execa(
    'mpirun',
    [...asRoot, '--oversubscribe', '--bind-to', 'none', '-n', '2', process.execPath, script, ...args],
    { cwd: project, reject: false, stdin: 'ignore', env: { NO_COLOR: '1' } },
  );
}

describe.skipIf(!hasMpi)('maas train under an outer mpirun', () => {
  let project: string;
  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'maas-outer-'));
    await cp(join(template, 'data'), join(project, 'data'), { recursive: true });
    const config = await readFile(join(template, 'maas.config.yaml'), 'utf8');
    await writeFile(join(project, 'maas.config.yaml'), config);
  });
  afterAll(() => rm(project, { recursive: true, force: true, maxRetries: 3 }));

  it('is one command: one result, of the same bytes as with ranks of its own', async () => {
    const args = words('train.distributed.processes=2');
    const { exitCode, stdout, stderr } = await start(project, args);
    expect([exitCode, exitCode === 0 ? '' : stderr]).toEqual([0, '']);
    const joined = JSON.parse(stdout) as StageJson;
    const again = JSON.parse((await start(project, args)).stdout) as StageJson;
    expect([joined.status, again.status]).toEqual(['done', 'cached']);
    const own = await maasJson<StageJson>(project, [
      ...args.filter((word) => !word.startsWith('--json') && word !== '--quiet'),
      '--force',
    ]);
    expect(own.digest).toBe(joined.digest);
  }, 120_000);

  /** Starts a training, and waits until it has written a checkpoint. */
  async function startAndSave(settings: readonly string[]) {
    const began = Date.now();
    const running = start(project, words(...settings));
    const work = join(project, '.maas', 'work');
    const hasSaved = async () => {
      for (const name of await readdir(work, { recursive: true }).catch(() => [])) {
        const written = await stat(join(work, name)).catch(() => undefined);
        if (name.endsWith('checkpoint.safetensors') && written && written.mtimeMs > began) return true;
      }
      return false;
    };
    while (!(await hasSaved())) await sleep(50);
    const children = await readFile(`/proc/${running.pid}/task/${running.pid}/children`, 'utf8');
    const ranks = children.trim().split(' ').map(Number);
    expect(ranks).toHaveLength(2);
    return { running, ranks };
  }
  const often = ['train.distributed.processes=2', 'train.engine.onnx.checkpointSeconds=0.05'];

  it('stops with all ranks when all are told to, and says so', async () => {
    const settings = [...often, 'seed=6', 'train.epochs=4000'];
    for (let round = 0; round < 4; round++) {
      const { running, ranks } = await startAndSave(settings);
      // As `scancel --signal=TERM` does; the second may be the first to end.
      for (const rank of ranks.toReversed()) process.kill(rank, 'SIGTERM');
      const { exitCode, stdout } = await running;
      expect(exitCode).toBe(130);
      expect(stdout).toContain('a checkpoint is saved');
    }
  }, 120_000);

  it('goes on from the checkpoint after a rank was killed', async () => {
    const settings = [...often, 'seed=5', 'train.epochs=80'];
    const { running, ranks } = await startAndSave(settings);
    process.kill(ranks[1]!, 'SIGKILL');
    expect((await running).exitCode).not.toBe(0);
    const { stdout } = await start(project, words(...settings));
    const resumed = JSON.parse(stdout) as StageJson & { readonly notes: readonly string[] };
    expect(resumed.notes.join('\n')).toContain('went on from a checkpoint');
    const whole = JSON.parse((await start(project, [...words(...settings), '--force'])).stdout) as StageJson;
    expect(resumed.digest).toBe(whole.digest);
  }, 120_000);

  it('refuses another number of processes than the config has', async () => {
    const { exitCode, stderr } = await start(project, words('train.distributed.processes=3'));
    expect(exitCode).toBe(2);
    expect(stderr).toContain('mpirun has started 2 processes, and train.distributed has 3');
    const alone = await start(project, words());
    expect(alone.stderr).toContain('there is no train.distributed');
  }, 60_000);
});
