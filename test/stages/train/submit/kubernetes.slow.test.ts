import { appendFile, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { script, template, type StageJson } from '../../../e2e/maas.js';
import { hasProgram } from '../../deploy/targets/oci/registry-server.js';
import { RunningCluster } from './running-cluster.js';

const hasMpi = /open ?mpi/i.test(String(spawnSync('mpirun', ['--version']).stdout));
const isThere = hasProgram('kubectl') && hasMpi;
if (!isThere) console.warn('skipped: training on Kubernetes: it takes kubectl and Open MPI');

describe.skipIf(!isThere)('maas train --submit kubernetes', { timeout: 120_000 }, () => {
  /** Folder of everything; in it the project here, and the claim with the project there. */
  let root: string;
  let cluster: RunningCluster;
  const at = (...parts: string[]) => join(root, ...parts);

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'maas-jobs-'));
    await cp(join(template, 'data'), at('here', 'data'), { recursive: true });
    await writeFile(
      at('here', 'maas.config.yaml'),
      await readFile(join(template, 'maas.config.yaml'), 'utf8'),
    );
    await cp(at('here'), at('claim', 'iris'), { recursive: true });
  });
  afterAll(() => rm(root, { recursive: true, force: true, maxRetries: 3 }));
  beforeEach(async () => {
    cluster = new RunningCluster();
    const server = await cluster.listen();
    await writeFile(
      at('kubeconfig'),
      stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'it', cluster: { server } }],
        users: [{ name: 'me', user: { token: 'x' } }],
        contexts: [{ name: 'it', context: { cluster: 'it', user: 'me' } }],
        'current-context': 'it',
      }),
    );
  });
  afterEach(() => cluster.close());

  const start = (args: readonly string[], options: object, ...settings: string[]) => {
    const kubernetes = {
      ...{ image: 'maas:1', claim: 'projects', mountPath: at('claim'), project: 'iris' },
      ...{ kubeconfig: at('kubeconfig'), command: [process.execPath, script], ...options },
    };
    const set = [`train.submit.kubernetes=${JSON.stringify(kubernetes)}`, 'train.epochs=5', ...settings];
    const words = [...args, '--json', '--quiet', ...set.flatMap((setting) => ['--set', setting])];
    return execa(process.execPath, [script, ...words], {
      ...{ cwd: at('here'), reject: false, stdin: 'ignore' },
      env: { KUBECACHEDIR: at('cache'), NO_COLOR: '1' },
    });
  };
  const apply = (options: object, ...settings: string[]) =>
    start(['train', '--submit', 'kubernetes', '--apply'], options, ...settings);
  const made = (plural: string) =>
    cluster.asked.filter((asked) => asked.startsWith(`PATCH ${plural}/`)).length;

  it.each([
    ['Job', 'jobs', {}, []],
    ['MPIJob', 'mpijobs', { workers: 2 }, ['train.distributed.processes=2']],
    ['TrainJob', 'trainjobs', { kind: 'TrainJob' }, ['train.distributed.processes=2', 'seed=3']],
  ] as const)(
    'has the artifact of a %s as if it had been trained here',
    async (_, plural, options, settings) => {
      const done = await apply(options, ...settings);
      expect([done.exitCode, done.stderr]).toEqual([0, '']);
      const there = JSON.parse(done.stdout) as StageJson;
      expect([there.status, made(plural)]).toEqual(['done', 1]);
      // The pod for copies is gone.
      expect(cluster.asked.filter((asked) => asked.startsWith('DELETE pods/'))).toHaveLength(1);
      expect((JSON.parse((await apply(options, ...settings)).stdout) as StageJson).status).toBe('cached');
      const here = JSON.parse((await start(['train', '--force'], options, ...settings)).stdout) as StageJson;
      expect(here.digest).toBe(there.digest);
    },
  );

  it('leaves the job alone on Ctrl-C, and follows it again', async () => {
    const settings = ['seed=4', 'train.epochs=1500'];
    const first = apply({}, ...settings);
    while (made('jobs') === 0) await sleep(50);
    await sleep(500);
    first.kill('SIGINT');
    const left = await first;
    expect(left.exitCode).toBe(130);
    expect(left.stderr).toMatch(
      /the job maas-iris-\w+ of Kubernetes goes on by itself[^]*kubectl .*delete jobs\.batch/,
    );
    const done = await apply({}, ...settings);
    expect([done.exitCode, made('jobs')]).toEqual([0, 1]);
  });

  it('tells what maas said in the job, and hands it in again after that', async () => {
    const settings = ['seed=5', 'train.gates.logLoss.max=0.0'];
    const refused = await apply({}, ...settings);
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toMatch(/error\[MAAS_GATE_FAILED\][^]*said by the job maas-iris-/);
    await apply({}, ...settings);
    expect(made('jobs')).toBe(2);
  });

  it('trains nothing else than what was submitted', async () => {
    await appendFile(at('claim', 'iris', 'data', 'iris.csv'), '5.1,3.5,1.4,0.2,setosa\n');
    const { exitCode, stderr } = await apply({}, 'seed=6');
    expect(exitCode).toBe(2);
    expect(stderr).toContain('this is not the training that was submitted');
    await cp(at('here', 'data'), at('claim', 'iris', 'data'), { recursive: true });
  });

  it('is an error of the environment without a cluster', async () => {
    const { exitCode, stderr } = await apply({ kubeconfig: at('nowhere') }, 'seed=7');
    expect(exitCode).toBe(4);
    expect(stderr).toContain('error[MAAS_PROGRAM]');
  });
});
