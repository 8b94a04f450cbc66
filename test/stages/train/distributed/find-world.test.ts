import { describe, expect, it } from 'vitest';
import { readMembership } from '../../../../src/stages/train/distributed/find-world.js';

describe('who else an outer launcher has started', () => {
  it.each([
    ['nobody', {}, { rank: 0, size: 1 }],
    [
      'mpirun',
      { OMPI_COMM_WORLD_RANK: '3', OMPI_COMM_WORLD_SIZE: '4' },
      { rank: 3, size: 4, launcher: 'mpirun' },
    ],
    ['mpiexec', { PMI_RANK: '1', PMI_SIZE: '2' }, { rank: 1, size: 2, launcher: 'mpiexec' }],
    [
      'srun, whatever its PMI',
      { SLURM_PROCID: '1', SLURM_STEP_NUM_TASKS: '2', PMI_RANK: '0', PMI_SIZE: '1' },
      { rank: 1, size: 2, launcher: 'srun' },
    ],
    ['a batch script of Slurm', { SLURM_PROCID: '0', SLURM_NTASKS: '8' }, { rank: 0, size: 1 }],
  ])('knows %s', (_, env, member) => {
    expect(readMembership(env)).toMatchObject(member);
  });
});
