import { resolve } from 'node:path';
import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { z } from 'zod';
import { MaasError } from '../../../../errors.js';
import type { Target, TargetContext } from '../../../../plugin/api.js';
import { clusterName } from '../../../cluster-options.js';
import { Kubectl } from '../../../kubectl.js';
import { exposedPort } from '../oci/image.js';
import { defineImageTarget, type NextImage } from '../oci/image-target.js';
import { type CollectParts, collectParts } from '../oci/parts.js';
import type { Place } from '../oci/place.js';
import { readManifests, writeManifests } from './manifest-file.js';
import { keyOf, schemeOf } from '../../ask.js';
import { checkService } from '../../inspect.js';
import { askPod } from './ask-pods.js';
import { type ClusterTrial, countPods, releaseOf, tryInCluster } from './canary.js';
import {
  canaryName,
  describeCanary,
  describeDeployment,
  describeInferenceService,
  type Manifest,
  releaseLabel,
  selectorOf,
  type Workload,
} from './manifests.js';
import { type ClusterOptions, kserveOptions, kubernetesOptions } from './options.js';
import { forgetManifests, recallManifests, storeManifests } from './stored-manifests.js';

/** What the two ways to run a model in a cluster differ in. */
interface Variant<Options extends ClusterOptions> {
  readonly name: string;
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  /** The object that tells what runs. */
  readonly kind: string;
  describe(workload: Workload<Options>): Manifest[];
  /** kubectl's words for "until it is ready". */
  readyWords(name: string): string[];
  /** Whether its objects bring a Service to be asked. */
  readonly hasService: boolean;
  /** What tries the workload beside the release that runs. */
  describeTrial(workload: Workload<Options>, cluster: Kubectl, percent: number): Promise<ClusterTrial>;
}

const deployment: Variant<z.infer<typeof kubernetesOptions>> = {
  name: 'kubernetes',
  summary: 'A Deployment and its Service in a Kubernetes cluster.',
  options: kubernetesOptions,
  kind: 'deployment.apps',
  describe: describeDeployment,
  readyWords: (name) => ['rollout', 'status', `deployment.apps/${name}`],
  hasService: true,
  async describeTrial(workload, cluster, percent) {
    const { name, options } = workload;
    const stable = (await cluster.get<Deployment>('deployment.apps', name))?.spec?.replicas;
    const own = canaryName(name);
    return {
      manifests: [describeCanary(workload, countPods(stable ?? options.replicas, percent))],
      readyWords: ['rollout', 'status', `deployment.apps/${own}`],
      object: ['deployment.apps', own],
      pods: labelsOf(name),
      end: () => cluster.remove('deployment.apps', own),
    };
  },
};

const inferenceService: Variant<z.infer<typeof kserveOptions>> = {
  name: 'kserve',
  summary: 'An InferenceService of KServe in a Kubernetes cluster.',
  options: kserveOptions,
  kind: 'inferenceservices.serving.kserve.io',
  describe: describeInferenceService,
  readyWords: (name) => ['wait', '--for=condition=Ready', `inferenceservices.serving.kserve.io/${name}`],
  hasService: false,
  async describeTrial(workload, cluster, canaryTrafficPercent) {
    const { name, options } = workload;
    const kind = this.kind;
    const current = releaseOf(await cluster.get<Manifest>(kind, name));
    const former = current === undefined ? undefined : await recallManifests(cluster, name, current);
    return {
      manifests: describeInferenceService({ ...workload, options: { ...options, canaryTrafficPercent } }),
      readyWords: this.readyWords(name),
      object: [kind, name],
      // KServe's own label: the release before this one has it, too.
      pods: `serving.kserve.io/inferenceservice=${name}`,
      end: async () => {
        if (former !== undefined) await cluster.apply(former);
      },
    };
  },
};

function labelsOf(name: string): string {
  return Object.entries(selectorOf(name))
    .map((pair) => pair.join('='))
    .join(',');
}

export const makeKubernetesTarget = (collect: CollectParts): Target => makeTarget(deployment, collect);
export const makeKserveTarget = (collect: CollectParts): Target => makeTarget(inferenceService, collect);
export const kubernetesTarget = makeKubernetesTarget(collectParts);
export const kserveTarget = makeKserveTarget(collectParts);

function makeTarget<Options extends ClusterOptions>(
  variant: Variant<Options>,
  collect: CollectParts,
): Target {
  return defineImageTarget<Options>(
    {
      name: variant.name,
      summary: variant.summary,
      options: variant.options,
      async current(context) {
        const { options, project } = context;
        const found =
          options.manifests === undefined
            ? await openCluster(context).get<Manifest>(variant.kind, nameOf(context))
            : (await readManifests(resolve(project.root, options.manifests)))[0];
        return releaseOf(found);
      },
      canary: ['split'],
      async tryOut(context, images, next, note) {
        const { manifests, timeout } = context.options;
        const cluster = openCluster(context);
        const name = nameOf(context);
        if (manifests !== undefined) {
          throw new MaasError('MAAS_CONFIG_INVALID', 'a file of manifests cannot try a release', {
            place: { file: context.project.configFile },
            hint: `Leave out deploy.canary or deploy.target.${variant.name}.manifests.`,
          });
        }
        const current = async () => releaseOf(await cluster.get<Manifest>(variant.kind, name));
        const stable = await current();
        if (stable === undefined || stable === next.release) {
          note('there is no other release to compare it with');
          return;
        }
        const workload = await describeWorkload(context, images.place, next);
        const trial = await variant.describeTrial(workload, cluster, context.canary!.percent);
        note(`waiting up to ${timeout} s for its pods`);
        const { port } = workload;
        await tryInCluster({ context, cluster, trial, stable, candidate: next.release, port, current, note });
      },
      async inspect(context, images, { digest }) {
        if (context.options.manifests !== undefined) return [];
        const image = await images.place.resolve(digest);
        if (image === undefined) return [];
        const workload = await describeWorkload(context, images.place, { release: digest, image });
        const rollout = new Rollout(variant, context, workload);
        const name = `${variant.kind.split('.')[0]!} ${workload.name}`;
        return [await checkService(name, () => rollout.look(digest))];
      },
      async switchTo(context, images, next, note) {
        const workload = await describeWorkload(context, images.place, next);
        const { manifests } = context.options;
        if (manifests === undefined) await new Rollout(variant, context, workload).make(next);
        else
          await writeOut(resolve(context.project.root, manifests), variant.describe(workload), next.release);
        const where = manifests ?? `${context.options.namespace}/${workload.name}`;
        note(`${where} → ${next.release.slice(0, 12)}`);
      },
      async forget(context, releases) {
        if (context.options.manifests !== undefined) return;
        await forgetManifests(openCluster(context), nameOf(context), releases);
      },
      async plan(context, images, release) {
        if (context.options.manifests !== undefined) return [];
        const image = await images.locked(() => images.put(release));
        const workload = await describeWorkload(context, images.layout, { release: release.digest, image });
        const diff = await openCluster(context).diff(variant.describe(workload));
        return diff === '' ? [] : [diff];
      },
    },
    collect,
  );
}

function openCluster({ project, options, signal }: TargetContext<ClusterOptions>): Kubectl {
  return new Kubectl(project, options, signal);
}

function nameOf({ project, options }: TargetContext<ClusterOptions>): string {
  if (options.name !== undefined) return options.name;
  const name = clusterName(project.name);
  if (name !== '') return name;
  throw new MaasError('MAAS_CONFIG_INVALID', `no object of a cluster can be named "${project.name}"`, {
    place: { file: project.configFile },
    hint: 'Set deploy.target.kubernetes.name.',
  });
}

async function describeWorkload<Options extends ClusterOptions>(
  context: TargetContext<Options>,
  place: Place,
  { release, image }: NextImage,
): Promise<Workload<Options>> {
  const { options } = context;
  const reference = `${options.image}@${image.digest}`;
  const port = await exposedPort(place, image);
  return {
    name: nameOf(context),
    options,
    image: reference,
    release,
    port,
    scheme: schemeOf(context.project),
  };
}

/** The annotation tells what runs, once all of it does. */
function announce(manifests: readonly Manifest[], release: string): Manifest[] {
  return manifests.map((manifest) => ({
    ...manifest,
    metadata: { ...manifest.metadata, annotations: { [releaseLabel]: release } },
  }));
}

function writeOut(file: string, manifests: readonly Manifest[], release: string): Promise<void> {
  return writeManifests(file, announce(manifests, release));
}

/** One switch of a cluster to another release. */
class Rollout<Options extends ClusterOptions> {
  private readonly cluster: Kubectl;

  constructor(
    private readonly variant: Variant<Options>,
    private readonly context: TargetContext<Options>,
    private readonly workload: Workload<Options>,
  ) {
    this.cluster = openCluster(context);
  }

  /** Applies the objects and waits for their pods; when those fail, what ran before is applied again. */
  async make({ release, path }: NextImage): Promise<void> {
    const { cluster, variant, workload } = this;
    const { name, options } = workload;
    const before = releaseOf(await cluster.get<Manifest>(variant.kind, name));
    // Going back means to what ran then, whatever the config says by now.
    const stored = path === undefined ? await recallManifests(cluster, name, release) : undefined;
    const manifests = stored ?? variant.describe(workload);
    await storeManifests(cluster, name, options.namespace, release, manifests);
    try {
      await this.bring(manifests);
      await this.check(release);
      // Its pods are no longer needed, now that all others are of the same release.
      if (variant.hasService) await cluster.remove('deployment.apps', canaryName(name));
    } catch (error) {
      if (variant.hasService) await cluster.remove('deployment.apps', canaryName(name));
      const former = before === undefined ? undefined : await recallManifests(cluster, name, before);
      if (former !== undefined) await this.bring(former);
      throw error;
    }
    await cluster.annotate(variant.kind, name, releaseLabel, release);
  }

  private async bring(manifests: readonly Manifest[]): Promise<void> {
    await this.cluster.apply(manifests);
    const words = this.variant.readyWords(this.workload.name);
    await this.cluster.waitFor(words, this.context.options.timeout, ' What ran before was brought back.');
  }

  /** That the object names the image of this release, all of its pods are ready, and the Service answers with it. */
  async look(release: string): Promise<undefined> {
    const { cluster, variant, workload } = this;
    const found = JSON.stringify(await cluster.get<Manifest>(variant.kind, workload.name));
    if (!found.includes(`"${workload.image}"`)) {
      throw new MaasError('MAAS_VERIFY_FAILED', `it does not run the image ${workload.image}`);
    }
    await cluster.waitFor(variant.readyWords(workload.name), this.context.options.timeout);
    await this.check(release);
  }

  /** Asks the Service which release its model is of. */
  private async check(release: string): Promise<void> {
    const { context, cluster, variant, workload } = this;
    if (!variant.hasService) return;
    const asked = {
      kind: 'services',
      name: workload.name,
      port: keyOf(context.project) ? 80 : 'http',
    } as const;
    const path = `/v2/models/${encodeURIComponent(context.project.name)}`;
    const { versions } = JSON.parse(await askPod(context, cluster, asked, path)) as {
      versions?: readonly string[];
    };
    if (versions?.includes(release) === true) return;
    throw new MaasError(
      'MAAS_VERIFY_FAILED',
      `the Service answers with release ${versions?.join(', ') ?? 'unknown'} instead of ${release}`,
    );
  }
}
