import type { Project } from '../../../plugin/api.js';
import { MaasError } from '../../../errors.js';
import type { TrainOptions } from '../config.js';
import type { Finding } from '../../examine.js';
import { hostsOf, probe, type Probe } from './hosts.js';
import { checkLauncher } from './launchers.js';

/** Looks for what `train.distributed` needs, on this machine and on each of its hosts. */
export async function examineRanks(project: Project | undefined): Promise<Finding[]> {
  const distributed = (project?.config['train'] as TrainOptions | undefined)?.distributed;
  let launcher: string;
  try {
    launcher = await checkLauncher(distributed ?? { launcher: 'mpi' });
  } catch (error) {
    if (!(error instanceof MaasError)) throw error;
    return [
      { name: 'mpi', state: distributed ? 'missing' : 'absent', detail: error.message, hint: error.hint },
    ];
  }
  if (!project || !distributed) return [{ name: 'mpi', state: 'ok', detail: launcher }];
  const place = { root: project.root, signal: new AbortController().signal };
  const here = await probe({ ...distributed, args: [] }, { hosts: undefined, size: 2 }, place);
  const first = examineHere(here, launcher);
  if (typeof here === 'string') return [first];
  let hosts: string[];
  try {
    hosts = await hostsOf(distributed, project);
  } catch (error) {
    const { message } = error as Error;
    return [
      first,
      { name: 'hosts', state: 'missing', detail: message, hint: 'Check train.distributed.hostfile.' },
    ];
  }
  const answers = await Promise.all(
    hosts.map((host) => probe({ ...distributed, hostfile: undefined }, { hosts: [host], size: 1 }, place)),
  );
  return [first, ...hosts.map((host, at) => examineHost(host, answers[at]!, here))];
}

function examineHere(found: Probe | string, launcher: string): Finding {
  const bad = (detail: string, hint: string): Finding => ({ name: 'mpi', state: 'missing', detail, hint });
  if (typeof found === 'string')
    return bad(`${launcher}: ${found}`, 'Mend what it says; try `mpirun -n 2 hostname`.');
  if (found.mpi === undefined) return bad(found.error ?? launcher, 'See train.distributed.launcher.');
  if (found.size !== 2) {
    return bad(
      `${launcher} started 2 processes, and ${found.mpi} has ${found.size}`,
      'The launcher and the library are of different MPIs: leave one of them.',
    );
  }
  return { name: 'mpi', state: 'ok', detail: `${launcher}; ${found.mpi}` };
}

/** What must be the same everywhere: figures are rounded alike, and messages understood. */
const alike = ['node', 'maas', 'onnxruntime', 'arch', 'mpi'] as const;

export function examineHost(host: string, found: Probe | string, here: Probe): Finding {
  const name = `host ${host}`;
  if (typeof found === 'string') {
    return {
      name,
      state: 'missing',
      detail: found,
      hint: `Try \`ssh ${host} ${process.execPath} --version\`: it must answer without a question, and maas lie at the same path there.`,
    };
  }
  if (found.error !== undefined) {
    return { name, state: 'missing', detail: found.error, hint: 'Install there what is installed here.' };
  }
  const other = alike.filter((key) => found[key] !== here[key]);
  const told = (key: (typeof alike)[number]) => `${key} ${found[key]}`;
  if (other.length === 0) return { name, state: 'ok', detail: alike.map(told).join(', ') };
  return {
    name,
    state: 'missing',
    detail: other.map((key) => `${told(key)}, and ${here[key]} here`).join('; '),
    hint: 'Install the same versions on all hosts.',
  };
}
