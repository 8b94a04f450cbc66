import { hash } from 'node:crypto';
import { join } from 'node:path';
import { canonicalJson } from '../../../../artifacts/index.js';
import { readSignature } from '../../../../data/index.js';
import type { Project, Release } from '../../../../plugin/api.js';
import type { BaseImage } from './base-image.js';
import { collectBase } from './base-layer.js';
import { collectServer, type ServerBundle } from './bundle.js';
import { describeBase, describeSoftware } from './sbom.js';
import type { LayerFile } from './tar-layer.js';

/** Everything of an image but its model, by layer: what changes seldom is apart from what changes often. */
export interface ImageParts {
  /** Files for an image that is built on nothing, or the image that it is built on. */
  readonly base: readonly LayerFile[] | BaseImage;
  readonly dependencies: readonly LayerFile[];
  readonly app: readonly LayerFile[];
  /** Absolute path in the image of the module that serves. */
  readonly entry: string;
  /** TCP port that it listens on. */
  readonly port: number;
}

/**
 * @param base Image to build on; without one the base is made of this very Node.
 * @param release What is to be served: its model may need packages that others do not.
 */
export type CollectParts = (
  project: Project,
  base?: BaseImage,
  release?: Pick<Release, 'path'>,
) => Promise<ImageParts>;

/** Packages beside those of every server that answer for a release's model. */
export async function neededPackages({ path }: Pick<Release, 'path'>): Promise<string[]> {
  const { features } = await readSignature(join(path, 'signature.json'));
  return features.some(({ type }) => type === 'image') ? ['sharp'] : [];
}

function hideKey(key: string): string {
  return key.startsWith('sha256:') ? key : `sha256:${hash('sha256', key)}`;
}

/** The server of this very installation, set up as the project's `serve` section says. */
export const collectParts: CollectParts = async (project, image, release) => {
  const server = await collectServer(release && (await neededPackages(release)));
  const base = image ?? (await collectBase(nativesOf(server)));
  // In a container the network that it is given is what keeps others out.
  const options = project.config['serve'] as { readonly keys?: readonly string[] } | undefined;
  const serve = {
    ...options,
    host: '0.0.0.0',
    // Whoever gets the image must not get the keys.
    ...(options?.keys && { keys: options.keys.map(hideKey) }),
  };
  const { port } = { port: 8080, ...serve };
  const written = {
    'app/serve.json': canonicalJson(serve),
    'app/sbom.cdx.json': describeSoftware(server.packages, describeBase(base)),
  };
  return {
    base,
    dependencies: server.dependencies,
    app: [
      ...server.app,
      ...Object.entries(written).map(([path, text]) => ({ path, from: Buffer.from(text) })),
    ],
    entry: server.entry,
    port,
  };
};

/** Native modules: the shared libraries that they load are needed beside them. */
function nativesOf({ dependencies }: ServerBundle): string[] {
  return dependencies.flatMap(({ from }) =>
    typeof from === 'string' && /\.(node|so(\.\d+)*)$/.test(from) ? [from] : [],
  );
}
