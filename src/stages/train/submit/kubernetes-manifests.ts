import { posix } from 'node:path';
import type { Job as BatchJob, JobSpec } from 'kubernetes-types/batch/v1.js';
import type { Container, Pod, PodSpec } from 'kubernetes-types/core/v1.js';
import type { ObjectMeta } from 'kubernetes-types/meta/v1.js';
import { exitCodes } from '../../../errors.js';
import type { KubernetesOptions } from './config.js';
import type { Job } from './job.js';
import type { MpiJob, TrainingRuntime, TrainJob } from './kubeflow.js';

export type Manifest = BatchJob | MpiJob | TrainingRuntime | TrainJob;

/** What is applied, the job last; and where its words are. */
export interface Description {
  readonly manifests: readonly Manifest[];
  /** The kind of the job, as kubectl has it. */
  readonly kind: string;
  /** The Job whose pod is maas. */
  readonly launcher: string;
}

/** Label of everything that belongs to a training. */
const trainingLabel = 'maas.dev/training';

/** Container of Kubeflow Trainer that the training runs in: it finds it by this name. */
const main = 'node';

/**
 * The objects of a training. Alone, maas is the pod of a Job; several processes are started by its mpirun, from the pod of
 * the launcher, in pods that run sshd. The operator brings the keys, and the hostfile that mpirun reads by itself.
 * @param slots Processes of each worker.
 */
export function describeTraining(job: Job, options: KubernetesOptions, slots: number): Description {
  const { name } = job;
  if (job.ranks === undefined) {
    const manifest: BatchJob = {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: describeObject(job, options),
      spec: describeLauncher(job, options),
    };
    return { manifests: [manifest], kind: 'jobs.batch', launcher: name };
  }
  if (options.kind === 'MPIJob') {
    const manifests = [describeMpiJob(job, options, slots)];
    return { manifests, kind: 'mpijobs.kubeflow.org', launcher: `${name}-launcher` };
  }
  const manifests = [describeRuntime(job, options, slots), describeTrainJob(job, options, slots)];
  return { manifests, kind: 'trainjobs.trainer.kubeflow.org', launcher: `${name}-launcher-0` };
}

/** A pod that waits, so that files of the claim can be copied. */
export function describeCopier(job: Job, options: KubernetesOptions, seconds: number): Pod {
  const { name, ...metadata } = describeObject(job, options);
  const command = ['sleep', String(seconds)];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, name: `${name}-copy` },
    spec: {
      ...describePod(options, { name: 'copy', command }),
      restartPolicy: 'Never',
      activeDeadlineSeconds: seconds,
    },
  };
}

/** The project's folder in the pods. */
export function folderIn({ mountPath, project }: KubernetesOptions): string {
  return posix.join(mountPath, project);
}

function describeMpiJob(job: Job, options: KubernetesOptions, slots: number): MpiJob {
  const { activeDeadlineSeconds, backoffLimit, sshAuthMountPath, workers } = options;
  return {
    apiVersion: 'kubeflow.org/v2beta1',
    kind: 'MPIJob',
    metadata: describeObject(job, options),
    spec: {
      slotsPerWorker: slots,
      sshAuthMountPath,
      mpiImplementation: job.launcher === 'mpich' ? 'MPICH' : 'OpenMPI',
      launcherCreationPolicy: 'WaitForWorkersReady',
      runPolicy: {
        cleanPodPolicy: 'Running',
        backoffLimit,
        ...(activeDeadlineSeconds !== undefined && { activeDeadlineSeconds }),
      },
      mpiReplicaSpecs: {
        Launcher: {
          replicas: 1,
          restartPolicy: 'OnFailure',
          template: { spec: describePod(options, describeMaas(job, options)) },
        },
        Worker: {
          replicas: workers,
          restartPolicy: 'OnFailure',
          template: { spec: describePod(options, describeWorker(options)) },
        },
      },
    },
  };
}

function describeRuntime(job: Job, options: KubernetesOptions, slots: number): TrainingRuntime {
  const { sshAuthMountPath, workers } = options;
  return {
    apiVersion: 'trainer.kubeflow.org/v1alpha1',
    kind: 'TrainingRuntime',
    metadata: describeObject(job, options),
    spec: {
      mlPolicy: {
        numNodes: workers,
        mpi: {
          numProcPerNode: slots,
          mpiImplementation: 'OpenMPI',
          sshAuthMountPath,
          runLauncherAsNode: false,
        },
      },
      template: {
        spec: {
          network: { publishNotReadyAddresses: true },
          successPolicy: { operator: 'All', targetReplicatedJobs: ['launcher'] },
          replicatedJobs: [
            {
              name: 'node',
              template: { spec: { template: { spec: describePod(options, describeWorker(options)) } } },
            },
            {
              name: 'launcher',
              dependsOn: [{ name: 'node', status: 'Ready' }],
              template: {
                metadata: { labels: { 'trainer.kubeflow.org/trainjob-ancestor-step': 'trainer' } },
                spec: describeLauncher(job, options),
              },
            },
          ],
        },
      },
    },
  };
}

function describeTrainJob(job: Job, options: KubernetesOptions, slots: number): TrainJob {
  return {
    apiVersion: 'trainer.kubeflow.org/v1alpha1',
    kind: 'TrainJob',
    metadata: describeObject(job, options),
    spec: {
      runtimeRef: { apiGroup: 'trainer.kubeflow.org', kind: 'TrainingRuntime', name: job.name },
      trainer: { numNodes: options.workers, numProcPerNode: slots },
    },
  };
}

/** A Job that is started again when it is lost, and not when it would fail once more. */
function describeLauncher(job: Job, options: KubernetesOptions): JobSpec {
  const { activeDeadlineSeconds, backoffLimit } = options;
  return {
    backoffLimit,
    ...(activeDeadlineSeconds !== undefined && { activeDeadlineSeconds }),
    podFailurePolicy: {
      rules: [
        {
          action: 'FailJob',
          onExitCodes: { containerName: main, operator: 'In', values: [exitCodes.usage, exitCodes.gate] },
        },
      ],
    },
    template: {
      spec: { ...describePod(options, describeMaas(job, options)), restartPolicy: 'Never' },
    },
  };
}

function describeObject({ name, key }: Job, { namespace }: KubernetesOptions): ObjectMeta {
  const labels = { 'app.kubernetes.io/managed-by': 'maas', [trainingLabel]: key.slice(0, 63) };
  return { name, namespace, labels };
}

type Task = Pick<Container, 'name' | 'command' | 'args'>;

function describeMaas(job: Job, { command }: KubernetesOptions): Task {
  return { name: main, command: [...command], args: [...job.args] };
}

function describeWorker({ sshd }: KubernetesOptions): Task {
  return { name: main, command: [...sshd] };
}

/** A pod with the claim, whose only container works in the project's folder. */
function describePod(options: KubernetesOptions, task: Task): PodSpec {
  const { claim, env, image, limits, mountPath, nodeSelector, pullSecrets, requests } = options;
  const resources = {
    ...(isFilled(requests) && { requests }),
    ...(isFilled(limits) && { limits }),
  };
  return {
    automountServiceAccountToken: false,
    ...(isFilled(nodeSelector) && { nodeSelector }),
    ...(pullSecrets.length > 0 && { imagePullSecrets: pullSecrets.map((name) => ({ name })) }),
    containers: [
      {
        ...task,
        image,
        workingDir: folderIn(options),
        ...(isFilled(env) && { env: Object.entries(env).map(([name, value]) => ({ name, value })) }),
        ...(isFilled(resources) && { resources }),
        volumeMounts: [{ name: 'project', mountPath }],
      },
    ],
    volumes: [{ name: 'project', persistentVolumeClaim: { claimName: claim } }],
  };
}

function isFilled(record: object): boolean {
  return Object.keys(record).length > 0;
}
