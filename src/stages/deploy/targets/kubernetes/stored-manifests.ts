import type { ConfigMap } from 'kubernetes-types/core/v1.js';
import type { Kubectl } from '../../../kubectl.js';
import type { Manifest } from './manifests.js';

/**
 * Each release's objects as they were applied, in ConfigMaps beside them: what a rollback applies again, from whichever
 * machine. One ConfigMap a release, so that two of them never outgrow its 1 MiB together.
 */
function nameOf(name: string, release: string): string {
  return `${name.slice(0, 40)}-maas-${release.slice(0, 12)}`;
}

export async function storeManifests(
  cluster: Kubectl,
  name: string,
  namespace: string,
  release: string,
  manifests: readonly Manifest[],
): Promise<void> {
  const map: ConfigMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: nameOf(name, release),
      namespace,
      labels: { 'app.kubernetes.io/name': name, 'app.kubernetes.io/managed-by': 'maas' },
    },
    data: { release, manifests: JSON.stringify(manifests) },
  };
  await cluster.apply([map]);
}

/** @returns undefined when nothing is stored of that release. */
export async function recallManifests(
  cluster: Kubectl,
  name: string,
  release: string,
): Promise<Manifest[] | undefined> {
  const found = await cluster.get<ConfigMap>('configmap', nameOf(name, release));
  const text = found?.data?.['manifests'];
  return text === undefined ? undefined : (JSON.parse(text) as Manifest[]);
}

export async function forgetManifests(
  cluster: Kubectl,
  name: string,
  releases: readonly string[],
): Promise<void> {
  for (const release of releases) await cluster.remove('configmap', nameOf(name, release));
}
