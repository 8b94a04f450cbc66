import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { HorizontalPodAutoscaler } from 'kubernetes-types/autoscaling/v2.js';
import type { Container, PodSpec, Probe, Service } from 'kubernetes-types/core/v1.js';
import type { ObjectMeta } from 'kubernetes-types/meta/v1.js';
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.js';
import { user } from '../oci/base-layer.js';
import type { ClusterOptions, KserveOptions, KubernetesOptions } from './options.js';

/** What is to run in a cluster. */
export interface Workload<Options extends ClusterOptions = ClusterOptions> {
  readonly name: string;
  readonly options: Options;
  /** Repository and digest: a tag may be another image tomorrow. */
  readonly image: string;
  /** Digest of the release in the image. */
  readonly release: string;
  /** TCP port that the container listens on. */
  readonly port: number;
  /** Whether it speaks TLS there. */
  readonly scheme?: 'http' | 'https';
}

/** serving.kserve.io/v1beta1, as far as it is used here. */
export interface InferenceService {
  readonly apiVersion: 'serving.kserve.io/v1beta1';
  readonly kind: 'InferenceService';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly predictor: PodSpec & {
      readonly minReplicas: number;
      readonly maxReplicas: number;
      readonly canaryTrafficPercent?: number;
    };
  };
}

export type Manifest =
  | Deployment
  | Service
  | PodDisruptionBudget
  | HorizontalPodAutoscaler
  | InferenceService;

/** Label and annotation of everything that a release brought; a label's value has at most 63 characters. */
export const releaseLabel = 'maas.dev/release';

/** Label that tells the pods of a release that is tried from those of the current one. */
const track = 'maas.dev/track';

/** Seconds between "not ready" and SIGTERM: so long do load balancers go on sending. */
const unlisted = 5;
/** Seconds from SIGTERM to SIGKILL. */
const drain = 30;

/** A Deployment that never has fewer pods than it should, with all that keeps it so. */
export function describeDeployment(workload: Workload<KubernetesOptions>): Manifest[] {
  const { name, options, port } = workload;
  const { replicas, autoscale } = options;
  const selector = selectorOf(name);
  const metadata = describeObject(workload, selector);
  const deployment: Deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: {
      ...describeSets(workload, 'stable'),
      // Who scales owns the number: naming it here would set it back with each deploy.
      ...(autoscale === undefined && { replicas }),
    },
  };
  const service: Service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { selector, ports: [{ name: 'http', port: 80, targetPort: port, protocol: 'TCP' }] },
  };
  const budget: PodDisruptionBudget = {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata,
    spec: { maxUnavailable: 1, selector: { matchLabels: selector } },
  };
  return [deployment, service, budget, ...(autoscale ? [describeScaling(workload, metadata)] : [])];
}

/** Pods of a release that is tried: the Service leads to them as to those of the current one. */
export function describeCanary(workload: Workload<KubernetesOptions>, replicas: number): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { ...describeObject(workload, selectorOf(workload.name)), name: canaryName(workload.name) },
    spec: { ...describeSets(workload, 'canary'), replicas },
  };
}

export function canaryName(name: string): string {
  return `${name.slice(0, 56)}-canary`;
}

/** Labels of all pods of a Service. */
export function selectorOf(name: string): Record<string, string> {
  return { 'app.kubernetes.io/name': name, 'app.kubernetes.io/managed-by': 'maas' };
}

/** Of a Deployment, all but how many pods it has. */
function describeSets(workload: Workload, of: 'stable' | 'canary'): NonNullable<Deployment['spec']> {
  const selector = selectorOf(workload.name);
  const { labels } = describeObject(workload, selector);
  return {
    revisionHistoryLimit: 3,
    progressDeadlineSeconds: workload.options.timeout,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    selector: { matchLabels: { ...selector, [track]: of } },
    template: {
      metadata: { labels: { ...labels, [track]: of }, annotations: { [releaseLabel]: workload.release } },
      spec: {
        ...describePod(workload, 'server'),
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'kubernetes.io/hostname',
            whenUnsatisfiable: 'ScheduleAnyway',
            labelSelector: { matchLabels: selector },
          },
        ],
      },
    },
  };
}

/** A custom predictor of KServe that speaks the Open Inference Protocol. */
export function describeInferenceService(workload: Workload<KserveOptions>): Manifest[] {
  const { minReplicas, maxReplicas, canaryTrafficPercent } = workload.options;
  const selector = selectorOf(workload.name);
  return [
    {
      apiVersion: 'serving.kserve.io/v1beta1',
      kind: 'InferenceService',
      metadata: describeObject(workload, selector),
      spec: {
        predictor: {
          minReplicas,
          maxReplicas,
          ...(canaryTrafficPercent !== undefined && { canaryTrafficPercent }),
          // KServe finds the container by this name, and reads the protocol from its environment.
          ...describePod(workload, 'kserve-container', [{ name: 'PROTOCOL', value: 'v2' }]),
        },
      },
    },
  ];
}

function describeObject(
  { name, options: { namespace }, release }: Workload,
  selector: Readonly<Record<string, string>>,
): ObjectMeta {
  return { name, namespace, labels: { ...selector, [releaseLabel]: release.slice(0, 63) } };
}

function describeScaling(
  { options, name }: Workload<KubernetesOptions>,
  metadata: ObjectMeta,
): HorizontalPodAutoscaler {
  const { max, cpu } = options.autoscale!;
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata,
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
      minReplicas: options.replicas,
      maxReplicas: max,
      metrics: [
        {
          type: 'Resource',
          resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: cpu } },
        },
      ],
    },
  };
}

/** A pod without rights, without a disk to write to, and without a way into the cluster. */
function describePod(
  { options, image, port, scheme }: Workload,
  containerName: string,
  env: Container['env'] = [],
): PodSpec {
  const get = (path: string): Probe => ({
    httpGet: { path, port, ...(scheme === 'https' && { scheme: 'HTTPS' }) },
  });
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: unlisted + drain,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: user,
      runAsGroup: user,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    ...(options.pullSecrets.length > 0 && {
      imagePullSecrets: options.pullSecrets.map((name) => ({ name })),
    }),
    containers: [
      {
        name: containerName,
        image,
        imagePullPolicy: 'IfNotPresent',
        env: [...env],
        ports: [{ name: 'http1', containerPort: port, protocol: 'TCP' }],
        startupProbe: { ...get('/v2/health/ready'), periodSeconds: 1, failureThreshold: options.timeout },
        readinessProbe: { ...get('/v2/health/ready'), periodSeconds: 5, failureThreshold: 2 },
        livenessProbe: {
          ...get('/v2/health/live'),
          periodSeconds: 10,
          failureThreshold: 3,
          timeoutSeconds: 5,
        },
        lifecycle: { preStop: { exec: { command: ['node', '-e', `setTimeout(() => {}, ${unlisted}000)`] } } },
        resources: { requests: defined(options.requests), limits: defined(options.limits) },
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
      },
    ],
    volumes: [{ name: 'tmp', emptyDir: { sizeLimit: '64Mi' } }],
  };
}

function defined(record: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(record).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
