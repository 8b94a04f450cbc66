import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const run = (program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string =>
  String(execFileSync(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] }));

/** Why there can be no cluster of Slurm here; undefined when there can. */
export function whyNoSlurm(): string | undefined {
  if (process.getuid?.() !== 0) return 'it takes root to run slurmd';
  for (const program of ['munged', 'slurmctld', 'slurmd', 'sbatch', 'mpirun']) {
    if (spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0) {
      return `there is no ${program}; apt-get install slurm-wlm munge libpmix-dev openmpi-bin`;
    }
  }
  const types = spawnSync('sh', ['-c', 'ls /usr/lib/*/libpmix.so /usr/lib/*/pmix2/lib/libpmix.so']);
  return String(types.stdout) === '' ? 'there is no libpmix.so; apt-get install libpmix-dev' : undefined;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** slurmctld and slurmd of this machine alone, with an authentication of their own. */
export class SlurmCluster {
  readonly #folder = mkdtempSync(join(tmpdir(), 'maas-slurm-'));

  /** For its clients. */
  get env(): { readonly SLURM_CONF: string } {
    return { SLURM_CONF: join(this.#folder, 'slurm.conf') };
  }

  async start(): Promise<void> {
    const folder = this.#folder;
    const host = hostname().split('.')[0]!;
    for (const name of ['state', 'spool']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'munge.key'), randomBytes(128), { mode: 0o600 });
    const settings = {
      ClusterName: 'test',
      SlurmctldHost: `${host}(127.0.0.1)`,
      SlurmctldPort: await freePort(),
      SlurmdPort: await freePort(),
      SlurmUser: 'root',
      AuthInfo: `socket=${folder}/munge.socket`,
      StateSaveLocation: `${folder}/state`,
      SlurmdSpoolDir: `${folder}/spool`,
      SlurmctldPidFile: `${folder}/slurmctld.pid`,
      SlurmdPidFile: `${folder}/slurmd.pid`,
      SlurmctldLogFile: `${folder}/slurmctld.log`,
      SlurmdLogFile: `${folder}/slurmd.log`,
      // What takes cgroups is left out: containers have none.
      ProctrackType: 'proctrack/linuxproc',
      TaskPlugin: 'task/none',
      JobAcctGatherType: 'jobacct_gather/none',
      SelectType: 'select/cons_tres',
      SelectTypeParameters: 'CR_CPU',
      SlurmdParameters: 'config_overrides',
      KillWait: 5,
      NodeName: `${host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN`,
      PartitionName: 'main Nodes=ALL Default=YES State=UP',
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
    writeFileSync(join(folder, 'slurm.conf'), `${lines.join('\n')}\n`);
    run('munged', [
      '--force',
      ...['key-file=munge.key', 'socket=munge.socket', 'pid-file=munged.pid', 'log-file=munged.log'].map(
        (option) => `--${option.replace('=', `=${folder}/`)}`,
      ),
      `--seed-file=${folder}/munged.seed`,
    ]);
    for (const daemon of ['slurmctld', 'slurmd']) run(daemon, [], this.env);
    for (let tries = 0; tries < 100; tries++) {
      if (this.run('sinfo', '--noheader', '--format=%T').trim() === 'idle') return;
      await sleep(200);
    }
    throw new Error(`the cluster does not start:\n${readFileSync(join(folder, 'slurmctld.log'), 'utf8')}`);
  }

  run(program: string, ...args: string[]): string {
    return run(program, args, this.env);
  }

  stop(): void {
    this.run('scancel', '--user=root');
    for (const daemon of ['slurmd', 'slurmctld', 'munged']) {
      try {
        process.kill(Number(readFileSync(join(this.#folder, `${daemon}.pid`), 'utf8')), 'SIGKILL');
      } catch {
        // It has not started.
      }
    }
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
