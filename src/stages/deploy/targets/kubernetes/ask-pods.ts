import { MaasError } from '../../../../errors.js';
import type { TargetContext } from '../../../../plugin/api.js';
import type { Kubectl } from '../../../kubectl.js';
import { ask, keyOf, schemeOf } from '../../ask.js';
import type { ClusterOptions } from './options.js';

/** A pod or a Service, and one of its ports. */
export interface Asked {
  readonly name: string;
  readonly port: number | string;
  readonly kind?: 'pods' | 'services';
}

/**
 * Asks a pod or a Service. The cluster's own proxy takes no keys along: where the server wants one, it is asked through a tunnel.
 * @throws MaasError MAAS_PROGRAM when it cannot be reached, or answers with an error.
 */
export async function askPod(
  { project, options, signal }: TargetContext<ClusterOptions>,
  cluster: Kubectl,
  { name, port, kind = 'pods' }: Asked,
  path: string,
): Promise<string> {
  const key = keyOf(project);
  if (key === undefined) {
    const scheme = schemeOf(project) === 'https' ? 'https:' : kind === 'services' ? '' : 'http:';
    return cluster.raw(
      `/api/v1/namespaces/${options.namespace}/${kind}/${scheme}${name}:${port}/proxy${path}`,
    );
  }
  const what = kind === 'pods' ? `pod/${name}` : `service/${name}`;
  return cluster.forward(what, port, async (address) => {
    const { status, text } = await ask({ url: `http://${address}`, signal, key }, path);
    if (status === 200) return text;
    throw new MaasError('MAAS_PROGRAM', `${what} answers ${path} with ${status}`);
  });
}
