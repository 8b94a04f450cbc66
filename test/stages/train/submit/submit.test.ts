import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Project } from '../../../../src/plugin/api.js';
import { distributedSchema } from '../../../../src/stages/train/distributed/config.js';
import { kubernetesSchema, slurmSchema, submitSchema } from '../../../../src/stages/train/submit/config.js';
import { planJob, shareOut, type Job } from '../../../../src/stages/train/submit/job.js';
import { describeTraining, type Manifest } from '../../../../src/stages/train/submit/kubernetes-manifests.js';
import type { MpiJob, TrainingRuntime } from '../../../../src/stages/train/submit/kubeflow.js';
import { Kubernetes } from '../../../../src/stages/train/submit/kubernetes.js';
import { slurmScript } from '../../../../src/stages/train/submit/slurm-script.js';

const key = 'ab'.repeat(32);

function makeProject(root: string, distributed?: object): Project {
  const train = { threads: 2, ...(distributed && { distributed: distributedSchema.parse(distributed) }) };
  return { name: 'Iris 1', seed: 1, root, configFile: join(root, 'maas.config.yaml'), config: { train } };
}

function makeJob(root: string, distributed?: object): Job {
  const store = { root: join(root, '.maas') };
  return planJob({ project: makeProject(root, distributed), store, key, set: ['train.epochs=2'] });
}

describe('train.submit', () => {
  it.each([
    [{ slurm: { partition: 'gpu\n#SBATCH --account=x' } }, 'expected a word without blanks and quotes'],
    [{ slurm: { time: '4h' } }, 'expected minutes, HH:MM:SS or DAYS-HH:MM:SS, such as "04:00:00"'],
    [{ slurm: { mem: '16 GB' } }, 'expected an amount of memory, such as 16G'],
    [{ slurm: { args: ['exclusive'] } }, 'expected an option of sbatch, such as --exclusive'],
    [{ slurm: { args: ['--comment=x\nrm -rf /'] } }, 'expected one line'],
    [{ slurm: { env: { 'A B': 'x' } } }, 'Invalid key in record'],
    [{ slurm: { nodes: 0 } }, undefined],
    [{ slurm: { setup: ['a\nb'] } }, 'expected one line'],
    [{ kubernetes: { image: 'x' } }, undefined],
    [{ kubernetes: { image: 'an image', claim: 'x' } }, 'expected a word without blanks and quotes'],
    [
      { kubernetes: { image: 'x', claim: 'Not_A_Name' } },
      'expected lower-case letters, digits and -, such as iris-model',
    ],
    [{ kubernetes: { image: 'x', claim: 'c', mountPath: 'work' } }, 'expected an absolute path'],
    [
      { kubernetes: { image: 'x', claim: 'c', project: '/iris' } },
      'expected a path below mountPath, such as iris',
    ],
    [
      { kubernetes: { image: 'x', claim: 'c', limits: { memory: '8 GB' } } },
      'expected a quantity, such as 500m or 512Mi',
    ],
    [{ kubernetes: { image: 'x', claim: 'c', kind: 'PyTorchJob' } }, undefined],
  ])('refuses %j', (section, message) => {
    const found = submitSchema.safeParse(section).error?.issues.map((issue) => issue.message);
    expect(found).toBeDefined();
    if (message !== undefined) expect(found).toContain(message);
  });

  it('leaves the hosts to the cluster, and shares processes out evenly', () => {
    const project = makeProject('/p', { hosts: ['a:2', 'b:2'] });
    expect(() => planJob({ project, store: { root: '/p/.maas' }, key, set: [] })).toThrow(
      'the hosts of a submitted training are the cluster’s to choose',
    );
    const job = makeJob('/p', { processes: 6 });
    expect(shareOut(job, 3, project, [])).toBe(2);
    expect(() => shareOut(job, 4, project, [])).toThrow(
      '6 processes cannot be shared out evenly to 4 machines',
    );
    expect(() => shareOut(makeJob('/p'), 2, project, [])).toThrow('one process does not need 2 machines');
  });
});

describe('the script for Slurm', () => {
  let root: string;
  let job: Job;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "maas it's "));
    job = { ...makeJob(root, { processes: 4, restarts: 2 }), folder: root };
  });
  afterAll(() => rm(root, { recursive: true }));

  it('asks for what the config says', () => {
    const options = slurmSchema.parse({ nodes: 2, time: '1-12', partition: 'long', args: ['--exclusive'] });
    const text = slurmScript(job, options, 2, ['maas']);
    const directives = text.split('\n').filter((line) => line.startsWith('#SBATCH'));
    expect(directives).toEqual(
      expect.arrayContaining([
        '#SBATCH --job-name=maas-iris-1-abababababab',
        '#SBATCH --nodes=2',
        '#SBATCH --ntasks-per-node=2',
        '#SBATCH --cpus-per-task=2',
        '#SBATCH --time=1-12',
        '#SBATCH --partition=long',
        '#SBATCH --requeue',
        '#SBATCH --signal=TERM@120',
        '#SBATCH --exclusive',
      ]),
    );
    expect(text).toContain('srun --kill-on-bad-exit=1 --cpus-per-task=2 --mpi=pmix maas train');
    const mpich = slurmScript({ ...job, launcher: 'mpich' }, slurmSchema.parse({}), 4, ['maas']);
    expect(mpich).toContain('--mpi=pmi2');
  });

  /** Runs the script where srun ends with these codes, one after another. */
  async function run(codes: readonly number[], { restarts = 0, queueing = ':' } = {}) {
    const srun = `srun() { echo '{}'; echo run >>runs; set -- ${codes.join(' ')}; shift $(($(wc -l <runs) - 1)); return $1; }`;
    const requeue = `scontrol() { echo "$*" >requeued; ${queueing}; }`;
    const options = slurmSchema.parse({ setup: [srun, requeue, ': >runs'], env: { GREETING: "it's" } });
    await rm(join(root, 'ended'), { force: true });
    await rm(join(root, 'requeued'), { force: true });
    await writeFile(join(root, 'train.sh'), slurmScript(job, options, 4, ['maas']));
    const env = { SLURM_JOB_ID: '7', SLURM_RESTART_COUNT: String(restarts) };
    const { exitCode } = await execa('bash', ['train.sh'], { cwd: root, env, reject: false });
    const read = (name: string) => readFile(join(root, name), 'utf8').catch(() => undefined);
    const [ended, requeued, runs] = [await read('ended'), await read('requeued'), await read('runs')];
    return {
      exitCode,
      ended: ended?.trim(),
      requeued: requeued?.trim(),
      runs: runs!.trim().split('\n').length,
    };
  }

  it('starts ranks that were lost again, as often as they may be', async () => {
    expect(await run([137, 139, 0])).toEqual({ exitCode: 0, ended: '0', runs: 3 });
    expect(await run([137, 137, 137, 0])).toEqual({ exitCode: 137, ended: '137', runs: 3 });
  });

  it('does not start again what would fail once more', async () => {
    expect(await run([2, 0])).toEqual({ exitCode: 2, ended: '2', runs: 1 });
  });

  it('is queued again when its time is over, but not for ever', async () => {
    expect(await run([130])).toEqual({ exitCode: 0, requeued: 'requeue 7', runs: 1 });
    expect(await run([130], { restarts: 10 })).toEqual({ exitCode: 130, ended: '130', runs: 1 });
  });

  it('has not ended when what queued it again has ended scontrol as well', async () => {
    const killed = await run([130], { queueing: 'return 143' });
    expect(killed).toMatchObject({ requeued: 'requeue 7', ended: undefined });
    expect(await run([130], { queueing: 'return 1' })).toMatchObject({ exitCode: 130, ended: '130' });
  });
});

describe('the objects for Kubernetes', () => {
  const options = kubernetesSchema.parse({
    image: 'registry/maas:1',
    claim: 'data',
    project: 'iris',
    workers: 2,
  });
  const only = ({ manifests }: { readonly manifests: readonly Manifest[] }, kind: string): unknown =>
    manifests.find((manifest) => manifest.kind === kind);

  it('are a Job for one process', () => {
    const { manifests, launcher } = describeTraining(makeJob('/p'), options, 1);
    expect(manifests.map(({ kind }) => kind)).toEqual(['Job']);
    expect(launcher).toBe('maas-iris-1-abababababab');
  });

  it('are an MPIJob for several: a launcher that is maas, and workers that wait for its mpirun', () => {
    const described = describeTraining(makeJob('/p', { processes: 4 }), options, 2);
    const { spec } = only(described, 'MPIJob') as MpiJob;
    expect(spec).toMatchObject({ slotsPerWorker: 2, mpiImplementation: 'OpenMPI' });
    const { Launcher, Worker } = spec.mpiReplicaSpecs;
    const [launcher] = Launcher.template.spec!.containers;
    expect(launcher).toMatchObject({
      command: ['maas'],
      workingDir: '/projects/iris',
      image: 'registry/maas:1',
    });
    expect(launcher!.args).toEqual([
      ...[
        'train',
        '--config',
        'maas.config.yaml',
        '--set',
        'train.epochs=2',
        '--expect-key',
        key,
        '--events',
      ],
    ]);
    expect(Worker).toMatchObject({ replicas: 2 });
    expect(Worker.template.spec!.containers[0]!.command).toEqual(['/usr/sbin/sshd', '-De']);
    expect(Worker.template.spec!.volumes).toEqual(Launcher.template.spec!.volumes);
  });

  it('are a TrainJob with a runtime of its own on demand', () => {
    const kubeflow = { ...options, kind: 'TrainJob' as const };
    const described = describeTraining(makeJob('/p', { processes: 4 }), kubeflow, 2);
    expect(described.manifests.map(({ kind }) => kind)).toEqual(['TrainingRuntime', 'TrainJob']);
    const { mlPolicy, template } = (only(described, 'TrainingRuntime') as TrainingRuntime).spec;
    expect(mlPolicy).toMatchObject({ numNodes: 2, mpi: { numProcPerNode: 2 } });
    expect(template.spec.replicatedJobs.map(({ name }) => name)).toEqual(['node', 'launcher']);
  });

  it('are no TrainJob with MPICH', () => {
    const project = makeProject('/p', { processes: 2, launcher: 'mpich' });
    const job = makeJob('/p', { processes: 2, launcher: 'mpich' });
    const { signal } = new AbortController();
    const kubeflow = { ...options, kind: 'TrainJob' as const };
    expect(() => new Kubernetes(job, kubeflow, project, signal)).toThrow('knows Open MPI alone');
  });
});
