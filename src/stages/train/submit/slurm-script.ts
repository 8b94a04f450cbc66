import { quote } from '../distributed/launchers.js';
import type { SlurmOptions } from './config.js';
import type { Job } from './job.js';

/** Files in the job's folder that its script writes. */
export const slurmFiles = {
  /** What maas prints on stdout: an event a line. */
  events: 'events.jsonl',
  /** What it prints on stderr, and srun's own words. */
  log: 'slurm.log',
  /** Exit code of the training, when it has ended. */
  ended: 'ended',
} as const;

/**
 * A script for sbatch (sbatch(1), srun(1)): the ranks are the tasks of one step. A step that loses a rank is started again,
 * and a job whose time is nearly over is queued again; both go on from the checkpoint. So does one that Slurm itself queues
 * again, because another has precedence or its machine was lost.
 * @param tasks Ranks on each node.
 * @param command How maas is called.
 */
export function slurmScript(
  job: Job,
  options: SlurmOptions,
  tasks: number,
  command: readonly string[],
): string {
  const { nodes, cpusPerTask = job.threads, signalSeconds } = options;
  const mpi = options.mpi ?? (job.launcher === 'mpich' ? 'pmi2' : 'pmix');
  const directives = [
    `--job-name=${job.name}`,
    `--chdir=${asDirective(job.root)}`,
    // Slurm replaces what begins with %.
    `--output=${asDirective(`${job.folder}/${slurmFiles.log}`.replaceAll('%', '%%'))}`,
    '--open-mode=append',
    `--nodes=${nodes}`,
    `--ntasks-per-node=${tasks}`,
    `--cpus-per-task=${cpusPerTask}`,
    ...(['mem', 'time', 'partition', 'account', 'qos', 'constraint'] as const).flatMap((name) =>
      options[name] === undefined ? [] : [`--${name}=${options[name]}`],
    ),
    '--requeue',
    `--signal=TERM@${signalSeconds}`,
    ...options.args,
  ];
  const step = [
    ...['srun', '--kill-on-bad-exit=1', `--cpus-per-task=${cpusPerTask}`],
    ...(job.ranks === undefined ? ['--mpi=none'] : [`--mpi=${mpi}`]),
    ...command,
    ...job.args,
  ];
  const exports = Object.entries(options.env).map(([name, value]) => `export ${name}=${quote([value])}`);
  return `#!/bin/bash
${directives.map((directive) => `#SBATCH ${directive}`).join('\n')}

folder=${quote([job.folder])}
rm -f "$folder/${slurmFiles.ended}"
${[...exports, ...options.setup].map((text) => `${text}\n`).join('')}
for ((start = 0; ; start++)); do
  ${quote(step)} >>"$folder/${slurmFiles.events}"
  code=$?
  # A rank was lost: a signal that is no request to stop (130) has ended it.
  ((code > 128 && code != 130 && start < ${job.restarts})) || break
done

# Time was nearly over, and the checkpoint is written.
if ((code == 130 && \${SLURM_RESTART_COUNT:-0} < ${options.requeues})); then
  scontrol requeue "$SLURM_JOB_ID"
  requeued=$?
  # What queues a job again ends its processes, scontrol too: a signal means that it was done.
  ((requeued == 0 || requeued > 128)) && exit
fi
echo "$code" >"$folder/${slurmFiles.ended}.part"
mv "$folder/${slurmFiles.ended}.part" "$folder/${slurmFiles.ended}"
exit "$code"
`;
}

/** sbatch takes quoted values, as a shell does. */
function asDirective(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
}
