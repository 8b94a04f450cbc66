import { z } from 'zod';
import { clusterOptions, dnsLabel, quantity } from '../../cluster-options.js';

/** What stands in a line of `#SBATCH`, and in an argument of kubectl: no blanks, no line breaks. */
const word = z.string().regex(/^[^\s"'`\\#]+$/, 'expected a word without blanks and quotes');

const line = z.string().regex(/^[^\r\n]+$/, 'expected one line');

const environment = z
  .record(
    z.string().regex(/^[A-Za-z_]\w*$/, 'expected a name of letters, digits and _, such as NODE_OPTIONS'),
    line,
  )
  .default({})
  .describe('Environment variables of the job. Those that the config refers to as ${NAME} belong here.');

const command = z
  .array(z.string().min(1))
  .min(1)
  .describe('How maas is called there, such as [npx, maas]. Default: the one that submits, by its path.');

/** `train.submit.slurm`: names are those of sbatch's options. */
export const slurmSchema = z.strictObject({
  nodes: z
    .int()
    .min(1)
    .default(1)
    .describe('Machines; each gets as many of the processes of train.distributed as the others.'),
  cpusPerTask: z.int().min(1).optional().describe('Cores for each process. Default: train.threads.'),
  mem: z
    .string()
    .regex(/^\d+[KMGT]?$/, 'expected an amount of memory, such as 16G')
    .optional()
    .describe('Memory of each machine, such as 16G. Default: that of the partition.'),
  time: z
    .string()
    .regex(
      /^(\d+|\d+:\d\d|\d+:\d\d:\d\d|\d+-\d+(:\d\d){0,2})$/,
      'expected minutes, HH:MM:SS or DAYS-HH:MM:SS, such as "04:00:00"',
    )
    .optional()
    .describe('Most time of one run, such as "04:00:00". Default: that of the partition.'),
  partition: word.optional().describe('Partition. Default: that of the cluster.'),
  account: word.optional().describe('Who pays.'),
  qos: word.optional().describe('Quality of service.'),
  constraint: word.optional().describe('Features that the machines must have.'),
  mpi: word.optional().describe('How srun starts MPI. Default: pmix, for MPICH pmi2.'),
  signalSeconds: z
    .int()
    .min(1)
    .max(65_535)
    .default(120)
    .describe('Training writes its checkpoint so long before its time is over.'),
  requeues: z
    .int()
    .min(0)
    .default(10)
    .describe('How often the job is queued again, to go on from its checkpoint, when its time is over.'),
  args: z
    .array(line.regex(/^-/, 'expected an option of sbatch, such as --exclusive'))
    .default([])
    .describe('Further options of sbatch, such as [--exclusive, "--gres=gpu:1"].'),
  setup: z
    .array(line)
    .default([])
    .describe('Lines of shell that come before the training, such as [module load openmpi].'),
  command: command.optional(),
  env: environment,
});

const amounts = z.record(
  z.string().regex(/^[a-z0-9]([-a-z0-9./]*[a-z0-9])?$/, 'expected a resource, such as cpu or nvidia.com/gpu'),
  quantity,
);

/** `train.submit.kubernetes`. */
export const kubernetesSchema = z.strictObject({
  kind: z
    .enum(['MPIJob', 'TrainJob'])
    .default('MPIJob')
    .describe(
      'What trains on several processes: MPIJob of Kubeflow’s MPI operator, or TrainJob of Kubeflow Trainer. One process is a Job.',
    ),
  image: word.describe('Image with Node.js, maas and, for several processes, MPI and sshd.'),
  claim: dnsLabel.describe('PersistentVolumeClaim with the project, which all pods can write to.'),
  mountPath: z
    .string()
    .regex(/^\/[^\s:]+$/, 'expected an absolute path')
    .default('/projects')
    .describe('Where the pods find it.'),
  project: z
    .string()
    .regex(/^[^/\s][^\s:]*$/, 'expected a path below mountPath, such as iris')
    .default('.')
    .describe('Folder of the project on it.'),
  workers: z
    .int()
    .min(1)
    .default(1)
    .describe('Pods that train; each gets as many of the processes of train.distributed as the others.'),
  requests: amounts.default({}).describe('What each pod is given at least, such as { cpu: "4" }.'),
  limits: amounts.default({}).describe('What each pod may take at most, such as { memory: 8Gi }.'),
  activeDeadlineSeconds: z.int().min(1).optional().describe('Most time of the job. Default: any.'),
  backoffLimit: z.int().min(0).default(3).describe('How often the job is started again when it fails.'),
  nodeSelector: z.record(z.string(), z.string()).default({}).describe('Labels of nodes that may be used.'),
  pullSecrets: z.array(dnsLabel).default([]).describe('Secrets with the login for the registry.'),
  sshAuthMountPath: z
    .string()
    .regex(/^\/\S+$/, 'expected an absolute path')
    .default('/root/.ssh')
    .describe('Where the image’s user has the keys of ssh.'),
  sshd: z
    .array(z.string().min(1))
    .min(1)
    .default(['/usr/sbin/sshd', '-De'])
    .describe('Command of the pods that wait for mpirun.'),
  command: command.describe('How maas is called in the image.').default(['maas']),
  env: environment,
  ...clusterOptions,
});

/** `train.submit`: where `maas train --submit` sends the training. It makes it no other model. */
export const submitSchema = z.strictObject({
  slurm: slurmSchema.optional().describe('For maas train --submit slurm.'),
  kubernetes: kubernetesSchema.optional().describe('For maas train --submit kubernetes.'),
});

export type Submit = z.output<typeof submitSchema>;
export type SlurmOptions = z.output<typeof slurmSchema>;
export type KubernetesOptions = z.output<typeof kubernetesSchema>;
