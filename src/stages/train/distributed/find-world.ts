import { placeIn } from '../../../config/index.js';
import { MaasError } from '../../../errors.js';
import type { Project } from '../../../plugin/api.js';
import { World, type Membership } from '../../../runtime/mpi/world.js';
import type { TrainOptions } from '../config.js';
import { mpiOf, sizeOf } from './config.js';

/** Variables that MPI reads when it begins, as `launchLine` has them for ranks of maas' own. */
export const forMpi: Readonly<Record<string, string>> = {
  OMPI_MCA_mpi_yield_when_idle: '1',
  UCX_MEM_MMAP_HOOK_MODE: 'none',
  UCX_MEM_EVENTS: 'n',
};

const none: Membership = { rank: 0, size: 1, launcher: '' };

/**
 * Who else an outer launcher (mpirun, srun) has started with this process, by the variables that it has set.
 * @param env `OMPI_COMM_WORLD_*` of Open MPI, `PMI_*` of MPICH's hydra, `SLURM_*` of a step of srun.
 */
export function readMembership(env: Readonly<Record<string, string | undefined>>): Membership {
  const named = (launcher: string, rank: string, size: string): Membership | undefined =>
    env[rank] === undefined || env[size] === undefined
      ? undefined
      : { rank: Number(env[rank]), size: Number(env[size]), launcher };
  return (
    named('mpirun', 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE') ??
    // In a step only: a batch script has a SLURM_PROCID, too.
    (env['SLURM_STEP_NUM_TASKS'] === undefined
      ? undefined
      : named('srun', 'SLURM_PROCID', 'SLURM_STEP_NUM_TASKS')) ??
    named('mpiexec', 'PMI_RANK', 'PMI_SIZE') ??
    none
  );
}

/**
 * The world that this process is part of, when an outer launcher has started several.
 * @throws MaasError MAAS_CONFIG_INVALID when they are not as many as the config says.
 */
export function findWorld(member: Membership, project: Project): World | undefined {
  if (member.size <= 1) return undefined;
  const { distributed } = project.config['train'] as TrainOptions;
  const wanted = distributed && sizeOf(distributed);
  if (distributed && wanted === member.size) return new World(member, mpiOf(distributed));
  const said = distributed ? `train.distributed has ${wanted}` : 'there is no train.distributed';
  throw new MaasError(
    'MAAS_CONFIG_INVALID',
    `${member.launcher} has started ${member.size} processes, and ${said}`,
    {
      place: placeIn(project, ['train', ...(distributed ? ['distributed'] : [])]),
      hint: `Write train: { distributed: { processes: ${member.size} } }, or start maas once: it starts the others itself.`,
    },
  );
}
