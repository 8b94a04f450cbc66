import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MaasError } from '../../../errors.js';
import { ownFile } from '../../../own-files.js';
import type { Project } from '../../../plugin/api.js';
import { runProgram, tryProgram } from '../../run-program.js';
import { quote } from '../distributed/launchers.js';
import { readTail } from '../program.js';
import type { Cluster, Found } from './cluster.js';
import type { SlurmOptions } from './config.js';
import { shareOut, type Job } from './job.js';
import { slurmFiles, slurmScript } from './slurm-script.js';

/** Looks, a second or so apart, at a state that a job does not leave. */
const enoughLooks = 3;
/** Lines of events that are looked at. */
const most = 40;

/** States that a job does not leave (squeue(1), JOB STATE CODES), and one that Slurm has forgotten. */
const terminal =
  /^(BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|TIMEOUT|it is gone)/;

/** Those that are Slurm's doing. */
const cut = /^(BOOT_FAIL|CANCELLED|DEADLINE|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|TIMEOUT)/;

/** A cluster of Slurm, through its own programs. The project lies on a disk that all of its machines share. */
export class Slurm implements Cluster {
  readonly title = 'Slurm';
  readonly file;
  readonly log;
  readonly words = {
    submit: (file: string) => `sbatch ${quote([file])}`,
    cancel: (id: string) => `scancel ${id}`,
  };

  /** How often in a row the job was seen to have ended, and not well. */
  #looks = 0;

  constructor(
    private readonly job: Job,
    options: SlurmOptions,
    project: Project,
    private readonly signal: AbortSignal,
  ) {
    const tasks = shareOut(job, options.nodes, project, ['train', 'submit', 'slurm', 'nodes']);
    const script = fileURLToPath(ownFile('bin/run.js'));
    this.log = join(job.folder, slurmFiles.log);
    const command = options.command ?? [process.execPath, script];
    this.file = { name: 'train.sh', text: slurmScript(job, options, tasks, command) };
  }

  async find(id?: string): Promise<Found | undefined> {
    const args = ['--me', '--noheader', `--name=${this.job.name}`, '--format=%A %T (%r)'];
    const [line] = (await this.run('squeue', args)).split('\n');
    const known = /^(\d+) (\S+)(?: \((.*)\))?/.exec(line ?? '');
    if (known) {
      this.#looks = 0;
      const [, found, state, reason] = known;
      const isRunning = state === 'RUNNING' || state === 'COMPLETING';
      const why = reason === undefined || reason === 'None' || isRunning ? '' : ` (${reason})`;
      return { id: found!, detail: `${state}${why}` };
    }
    if (id === undefined) return undefined;
    const code = await this.endOf();
    if (code === 0) return { id, end: 'well', detail: 'exit code 0' };
    // A job that goes back into the queue is shown by squeue a moment later, and has been COMPLETED or CANCELLED
    // meanwhile, whatever its script said: only what lasts is its end.
    const state = await this.lastState(id);
    this.#looks = terminal.test(state) ? this.#looks + 1 : 0;
    if (this.#looks < enoughLooks) return { id, detail: state };
    // The script of a job that is cancelled may live to see its step fail: then Slurm knows better why.
    return { id, end: 'badly', detail: code === undefined || cut.test(state) ? state : `exit code ${code}` };
  }

  async submit(file: string): Promise<string> {
    for (const name of [slurmFiles.events, slurmFiles.ended]) {
      await rm(join(this.job.folder, name), { force: true });
    }
    const said = await this.run('sbatch', ['--parsable', file]);
    return said.trim().split(';')[0]!;
  }

  async tail(): Promise<readonly string[]> {
    return readTail(join(this.job.folder, slurmFiles.events), 0, most).catch(() => []);
  }

  private run(program: string, args: readonly string[]): Promise<string> {
    return runProgram(program, args, { signal: this.signal });
  }

  private async endOf(): Promise<number | undefined> {
    const text = await readFile(join(this.job.folder, slurmFiles.ended), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : Number(text);
  }

  /** What Slurm says of a job that did not come to its own end: CANCELLED, NODE_FAIL, OUT_OF_MEMORY, TIMEOUT. */
  private async lastState(id: string): Promise<string> {
    const ask = async (program: string, args: readonly string[]) => {
      try {
        return (await tryProgram(program, args, { signal: this.signal })).stdout;
      } catch (error) {
        if (error instanceof MaasError && error.code === 'MAAS_PROGRAM') return '';
        throw error;
      }
    };
    const shown = /JobState=(\S+)/.exec(await ask('scontrol', ['show', 'job', id]))?.[1];
    const kept = shown ?? (await ask('sacct', ['-X', '-n', '-P', '-j', id, '-o', 'State'])).split('\n')[0];
    return kept === undefined || kept === '' ? 'it is gone, and Slurm does not know why' : kept;
  }
}
