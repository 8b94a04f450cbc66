import type { JobSpec } from 'kubernetes-types/batch/v1.js';
import type { PodTemplateSpec } from 'kubernetes-types/core/v1.js';
import type { ObjectMeta } from 'kubernetes-types/meta/v1.js';

// Kubeflow's objects, as far as they are used here.

/** kubeflow.org/v2beta1, of the MPI operator 0.4 and later. */
export interface MpiJob {
  readonly apiVersion: 'kubeflow.org/v2beta1';
  readonly kind: 'MPIJob';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly slotsPerWorker: number;
    readonly sshAuthMountPath: string;
    readonly mpiImplementation: 'OpenMPI' | 'MPICH';
    readonly launcherCreationPolicy: 'WaitForWorkersReady';
    readonly runPolicy: {
      readonly cleanPodPolicy: 'Running';
      readonly backoffLimit: number;
      readonly activeDeadlineSeconds?: number;
    };
    readonly mpiReplicaSpecs: { readonly Launcher: ReplicaSpec; readonly Worker: ReplicaSpec };
  };
}

interface ReplicaSpec {
  readonly replicas: number;
  readonly restartPolicy: 'Never' | 'OnFailure';
  readonly template: PodTemplateSpec;
}

/** trainer.kubeflow.org/v1alpha1 of Kubeflow Trainer 2: how trainings of a kind are run. */
export interface TrainingRuntime {
  readonly apiVersion: 'trainer.kubeflow.org/v1alpha1';
  readonly kind: 'TrainingRuntime';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly mlPolicy: {
      readonly numNodes: number;
      readonly mpi: {
        readonly numProcPerNode: number;
        readonly mpiImplementation: 'OpenMPI';
        readonly sshAuthMountPath: string;
        readonly runLauncherAsNode: false;
      };
    };
    readonly template: {
      readonly spec: {
        readonly network: { readonly publishNotReadyAddresses: true };
        readonly successPolicy: {
          readonly operator: 'All';
          readonly targetReplicatedJobs: readonly string[];
        };
        readonly replicatedJobs: readonly ReplicatedJob[];
      };
    };
  };
}

/** jobset.x-k8s.io/v1alpha2. */
interface ReplicatedJob {
  readonly name: 'launcher' | 'node';
  readonly dependsOn?: readonly { readonly name: string; readonly status: 'Ready' }[];
  readonly template: {
    readonly metadata?: ObjectMeta;
    readonly spec: JobSpec;
  };
}

/** trainer.kubeflow.org/v1alpha1: one training. */
export interface TrainJob {
  readonly apiVersion: 'trainer.kubeflow.org/v1alpha1';
  readonly kind: 'TrainJob';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly runtimeRef: {
      readonly apiGroup: 'trainer.kubeflow.org';
      readonly kind: 'TrainingRuntime';
      readonly name: string;
    };
    readonly trainer: {
      readonly numNodes: number;
      readonly numProcPerNode: number;
    };
  };
}
