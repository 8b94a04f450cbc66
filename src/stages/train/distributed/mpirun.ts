import { execa } from 'execa';
import { MaasError, type Place } from '../../../errors.js';
import type { Distributed } from './config.js';

/** A link that is cut is noticed in about ten seconds; without these it never is. */
const keepAlive = [
  ...['--mca', 'oob_tcp_keepalive_time', '5'],
  ...['--mca', 'oob_tcp_keepalive_intvl', '2'],
  ...['--mca', 'oob_tcp_keepalive_probes', '3'],
];

/**
 * The command line that starts `size` processes of `words`.
 * @param hosts Those that are left; undefined for the hosts of the hostfile, or this one.
 */
export function mpirunLine(
  { hostfile, args }: Pick<Distributed, 'hostfile' | 'args'>,
  { hosts, size }: { readonly hosts: readonly string[] | undefined; readonly size: number },
  words: readonly string[],
): string[] {
  return [
    ...['mpirun', '-n', String(size), '--oversubscribe', '--bind-to', 'none', '--tag-output'],
    // Containers have no other user; mpirun asks for a word that it is meant so.
    ...(process.getuid?.() === 0 ? ['--allow-run-as-root'] : []),
    ...keepAlive,
    // Ranks that wait leave their core to those that compute.
    ...['--mca', 'mpi_yield_when_idle', '1'],
    ...(hosts ? ['--host', hosts.join(',')] : []),
    ...(hostfile === undefined ? [] : ['--hostfile', hostfile]),
    ...args,
    ...words,
  ];
}

/** A line for the shell. */
export function quote(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

/** @throws MaasError MAAS_ENGINE_MISSING when there is no mpirun, or it is not Open MPI's. */
export async function checkMpirun(place: Place): Promise<string> {
  const result = await execa('mpirun', ['--version'], { reject: false });
  const [line = ''] = result.stdout.split('\n');
  if (result.exitCode === 0 && /open ?mpi/i.test(line)) return line;
  const reason = result.exitCode === 0 ? `mpirun is ${line}, not Open MPI's` : 'there is no mpirun';
  throw new MaasError('MAAS_ENGINE_MISSING', `cannot train on several processes: ${reason}`, {
    place,
    hint: 'Install Open MPI: `apt-get install openmpi-bin`, `dnf install openmpi`, `brew install open-mpi`.',
  });
}

/** Those of `hosts` where a process can be started, by the way that mpirun takes. */
export async function reachable(
  hosts: readonly string[],
  distributed: Distributed,
  options: { readonly cwd: string; readonly signal: AbortSignal },
): Promise<string[]> {
  const answers = await Promise.all(
    hosts.map(async (host) => {
      const line = mpirunLine(distributed, { hosts: [host], size: 1 }, ['hostname']);
      const [program, ...args] = line;
      const result = await execa(program!, args, {
        cwd: options.cwd,
        reject: false,
        timeout: 15_000,
        forceKillAfterDelay: 1000,
        cancelSignal: options.signal,
      });
      return result.exitCode === 0;
    }),
  );
  return hosts.filter((_, at) => answers[at]);
}
