import { z } from 'zod';
import type { MpiName } from '../../../runtime/mpi/library.js';

/** `train.distributed`: several processes, on one host or more, train one model together. */
export const distributedSchema = z
  .strictObject({
    launcher: z
      .enum(['mpi', 'mpich'])
      .default('mpi')
      .describe('What starts the processes: mpi is Open MPI’s mpirun, mpich is MPICH’s mpiexec.hydra.'),
    processes: z
      .int()
      .min(1)
      .max(4096)
      .optional()
      .describe('Processes in all. Default: one for each slot of the hosts.'),
    hosts: z
      .array(z.string().regex(/^\w[\w.-]*(:[1-9]\d*)?$/, 'expected the name of a host, or NAME:SLOTS'))
      .min(1)
      .optional()
      .describe('Hosts that take part, such as [node1, node2:4]; maas lies at the same path on all of them.'),
    hostfile: z
      .string()
      .min(1)
      .optional()
      .describe(
        'File with a line for each host, in the manner of the launcher: `NAME slots=4`, or `NAME:4` for MPICH.',
      ),
    restarts: z
      .int()
      .min(0)
      .default(3)
      .describe('How often training goes on from its checkpoint when a process or a host is lost.'),
    silenceSeconds: z
      .number()
      .positive()
      .default(600)
      .describe('A training that makes no progress for so long counts as lost.'),
    args: z
      .array(z.string())
      .default([])
      .describe('Further arguments for the launcher, such as [--mca, btl_tcp_if_include, 10.0.0.0/24].'),
  })
  .check((context) => {
    const { processes, hosts, hostfile } = context.value;
    const report = (path: string[], message: string): void => {
      context.issues.push({ code: 'custom', input: context.value, path, message });
    };
    if (hosts && hostfile !== undefined)
      report(['hostfile'], 'hosts come from one place: remove hosts, or hostfile');
    if (processes === undefined && !hosts) {
      report(
        [],
        hostfile === undefined ? 'expected one of: processes, hosts' : 'expected processes beside hostfile',
      );
    }
  });

export type Distributed = z.output<typeof distributedSchema>;

/** Whose library the ranks call. */
export function mpiOf({ launcher }: Pick<Distributed, 'launcher'>): MpiName {
  return launcher === 'mpich' ? 'mpich' : 'openmpi';
}

/** Processes in all. */
export function sizeOf({ processes, hosts = [] }: Pick<Distributed, 'processes' | 'hosts'>): number {
  return processes ?? hosts.reduce((sum, host) => sum + Number(host.split(':')[1] ?? 1), 0);
}
