import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { script, template, type StageJson } from '../../../e2e/maas.js';
import { SlurmCluster, whyNoSlurm } from './slurm-cluster.js';

const reason = whyNoSlurm();
if (reason !== undefined) console.warn(`skipped: training on Slurm: ${reason}`);

describe.skipIf(reason !== undefined)('maas train --submit slurm', () => {
  let project: string;
  let cluster: SlurmCluster;
  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'maas on slurm '));
    await cp(join(template, 'data'), join(project, 'data'), { recursive: true });
    const config = await readFile(join(template, 'maas.config.yaml'), 'utf8');
    await writeFile(join(project, 'maas.config.yaml'), config);
    cluster = new SlurmCluster();
    await cluster.start();
  }, 60_000);
  afterAll(async () => {
    cluster.stop();
    await rm(project, { recursive: true, force: true, maxRetries: 3 });
  });

  const words = (...settings: string[]) =>
    ['train.distributed.processes=2', ...settings].flatMap((setting) => ['--set', setting]);
  const start = (args: readonly string[]) =>
    execa(process.execPath, [script, ...args, '--json', '--quiet'], {
      ...{ cwd: project, reject: false, stdin: 'ignore' },
      env: { ...cluster.env, NO_COLOR: '1' },
    });
  const apply = (...settings: string[]) =>
    start(['train', '--submit', 'slurm', '--apply', ...words(...settings)]);
  const jobs = () => cluster.run('squeue', '--noheader', '--format=%A %T').trim().split('\n').filter(Boolean);
  const until = async (fits: () => boolean | Promise<boolean>): Promise<void> => {
    for (let tries = 0; tries < 300; tries++) {
      if (await fits()) return;
      await sleep(100);
    }
    throw new Error(`still not: ${String(fits)}`);
  };
  const isRunning = () => jobs().some((job) => job.endsWith('RUNNING'));
  const checkpoints = async () =>
    (await readdir(join(project, '.maas', 'work'), { recursive: true }).catch(() => [])).filter((name) =>
      name.endsWith('checkpoint.safetensors'),
    );

  it('trains on the cluster what would have been trained here, once', async () => {
    const written = JSON.parse((await start(['train', '--submit', 'slurm', ...words()])).stdout) as {
      file: string;
    };
    expect(await readFile(written.file, 'utf8')).toMatch(/^#!\/bin\/bash\n#SBATCH --job-name=maas-iris-/);
    expect(jobs()).toEqual([]);

    const done = await apply();
    expect([done.exitCode, done.stderr]).toEqual([0, '']);
    const trained = JSON.parse(done.stdout) as StageJson;
    expect(trained.status).toBe('done');
    const here = JSON.parse((await start(['train', '--force', ...words()])).stdout) as StageJson;
    expect(here.digest).toBe(trained.digest);
    expect((JSON.parse((await apply()).stdout) as StageJson).status).toBe('cached');
  }, 120_000);

  it('leaves the job alone on Ctrl-C, follows it again, and queues it again when its time is over', async () => {
    const settings = ['seed=2', 'train.epochs=2000', 'train.engine.onnx.checkpointSeconds=0.05'];
    const before = await checkpoints();
    const first = apply(...settings);
    await until(async () => isRunning() && (await checkpoints()).some((name) => !before.includes(name)));
    first.kill('SIGINT');
    const left = await first;
    expect(left.exitCode).toBe(130);
    expect(left.stderr).toMatch(/the job (\d+) of Slurm goes on by itself[^]*scancel \1/);
    const [id] = jobs()[0]!.split(' ');

    const second = apply(...settings);
    await sleep(1000);
    // What Slurm does when the time of a job is nearly over.
    cluster.run('scancel', '--signal=TERM', `${id!}.0`);
    await until(() => jobs()[0]?.endsWith('PENDING') === true);
    expect(jobs()).toEqual([`${id!} PENDING`]);
    // Slurm lets two minutes pass first. In the second in which it has taken a job's credential back it starts no other
    // life of it ("Job credential revoked").
    await sleep(3000);
    cluster.run('scontrol', 'update', `JobId=${id!}`, 'StartTime=now');
    const done = await second;
    expect([done.exitCode, done.stderr]).toEqual([0, '']);
    const trained = JSON.parse(done.stdout) as StageJson & { readonly notes: readonly string[] };
    expect(trained.notes.join('\n')).toContain('went on from a checkpoint');
    const here = JSON.parse((await start(['train', '--force', ...words(...settings)])).stdout) as StageJson;
    expect(here.digest).toBe(trained.digest);
  }, 180_000);

  it('starts the ranks again when one is killed', async () => {
    const settings = ['seed=3', 'train.epochs=2000', 'train.engine.onnx.checkpointSeconds=0.05'];
    const before = await checkpoints();
    const running = apply(...settings);
    await until(async () => isRunning() && (await checkpoints()).some((name) => !before.includes(name)));
    const [id] = jobs()[0]!.split(' ');
    cluster.run('scancel', '--signal=KILL', `${id!}.0`);
    const done = await running;
    expect([done.exitCode, done.stderr]).toEqual([0, '']);
    expect(done.stdout).toContain('went on from a checkpoint');
  }, 180_000);

  it('tells what maas said in the job, and what Slurm did to it', async () => {
    const refused = await apply('seed=4', 'train.epochs=1', 'train.gates.accuracy.min=1.0');
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toMatch(/error\[MAAS_GATE_FAILED\][^]*said by the job \d+/);

    const running = apply('seed=5', 'train.epochs=4000');
    await until(isRunning);
    const [id] = jobs()[0]!.split(' ');
    cluster.run('scancel', id!);
    const { exitCode, stderr } = await running;
    expect(exitCode).toBe(4);
    expect(stderr).toMatch(/error\[MAAS_JOB_FAILED\]: the job \d+ of Slurm failed \(CANCELLED/);
  }, 120_000);
});
