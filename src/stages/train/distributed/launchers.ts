import { execa } from 'execa';
import { MaasError, type Place } from '../../../errors.js';
import { installHint, titleOf } from '../../../runtime/mpi/library.js';
import { mpiOf, type Distributed } from './config.js';

/** Where ranks run. */
export interface Crew {
  /** Those that are left; undefined for the hosts of the hostfile, or this one. */
  readonly hosts: readonly string[] | undefined;
  readonly size: number;
}

interface Launcher {
  readonly program: string;
  /** Its name in what `--version` prints. */
  readonly mark: RegExp;
  /** Its arguments before those of the config and the words to run. */
  readonly args: (distributed: Pick<Distributed, 'hostfile'>, crew: Crew) => readonly string[];
}

/** What starts ranks, by `train.distributed.launcher`. */
const launchers: Readonly<Record<Distributed['launcher'], Launcher>> = {
  mpi: {
    program: 'mpirun',
    mark: /open ?mpi/i,
    args: ({ hostfile }, { hosts, size }) => [
      ...['-n', String(size), '--oversubscribe', '--bind-to', 'none', '--tag-output'],
      // Containers have no other user; mpirun asks for a word that it is meant so.
      ...(process.getuid?.() === 0 ? ['--allow-run-as-root'] : []),
      // A link that is cut is noticed in about ten seconds; without these it never is.
      ...['--mca', 'oob_tcp_keepalive_time', '5'],
      ...['--mca', 'oob_tcp_keepalive_intvl', '2'],
      ...['--mca', 'oob_tcp_keepalive_probes', '3'],
      // Ranks that wait leave their core to those that compute.
      ...['--mca', 'mpi_yield_when_idle', '1'],
      ...(hosts ? ['--host', hosts.join(',')] : []),
      ...(hostfile === undefined ? [] : ['--hostfile', hostfile]),
    ],
  },
  mpich: {
    program: 'mpiexec.hydra',
    mark: /hydra/i,
    args: ({ hostfile }, { hosts, size }) => [
      ...['-n', String(size), '-prepend-rank'],
      // UCX's hooks into malloc and mmap crash Node.js now and then.
      ...['-genv', 'UCX_MEM_MMAP_HOOK_MODE', 'none', '-genv', 'UCX_MEM_EVENTS', 'n'],
      ...(hosts ? ['-hosts', hosts.join(',')] : []),
      ...(hostfile === undefined ? [] : ['-f', hostfile]),
    ],
  },
};

/** The command line that starts `words` once for each rank. */
export function launchLine(
  distributed: Pick<Distributed, 'launcher' | 'hostfile' | 'args'>,
  crew: Crew,
  words: readonly string[],
): string[] {
  const { program, args } = launchers[distributed.launcher];
  return [program, ...args(distributed, crew), ...distributed.args, ...words];
}

/** A line for the shell. */
export function quote(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

/**
 * The launcher's version, as it says it.
 * @throws MaasError MAAS_ENGINE_MISSING when it is not there, or another program has its name.
 */
export async function checkLauncher(
  { launcher }: Pick<Distributed, 'launcher'>,
  place?: Place,
): Promise<string> {
  const { program, mark } = launchers[launcher];
  const mpi = mpiOf({ launcher });
  const result = await execa(program, ['--version'], { reject: false });
  const line = result.stdout.split('\n').find((text) => mark.test(text));
  const version = /\bVersion:\s*(\S+)/.exec(result.stdout)?.[1];
  if (result.exitCode === 0 && line !== undefined) {
    return version === undefined ? line : `${program} (${titleOf(mpi)}) ${version}`;
  }
  const reason =
    result.exitCode === 0
      ? `${program} is ${result.stdout.split('\n')[0]}, not that of ${titleOf(mpi)}`
      : `there is no ${program}`;
  throw new MaasError('MAAS_ENGINE_MISSING', `cannot train on several processes: ${reason}`, {
    ...(place && { place }),
    hint: installHint(mpi),
  });
}
