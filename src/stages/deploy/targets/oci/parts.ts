import { canonicalJson } from '../../../../artifacts/index.js';
import type { Project } from '../../../../plugin/api.js';
import { collectBase } from './base-layer.js';
import { collectServer } from './bundle.js';
import { describeSoftware } from './sbom.js';
import type { LayerFile } from './tar-layer.js';

/** Everything of an image but its model, by layer: what changes seldom is apart from what changes often. */
export interface ImageParts {
  readonly base: readonly LayerFile[];
  readonly dependencies: readonly LayerFile[];
  readonly app: readonly LayerFile[];
  /** Absolute path in the image of the module that serves. */
  readonly entry: string;
  /** TCP port that it listens on. */
  readonly port: number;
}

export type CollectParts = (project: Project) => Promise<ImageParts>;

/** The server of this very installation on this very Node, set up as the project's `serve` section says. */
export const collectParts: CollectParts = async (project) => {
  const server = await collectServer();
  const natives = server.dependencies.flatMap(({ from }) =>
    typeof from === 'string' && /\.(node|so(\.\d+)*)$/.test(from) ? [from] : [],
  );
  const base = await collectBase(natives);
  const libraries = base.map(({ path }) => path).filter((path) => /\.so(\.|$)/.test(path));
  // In a container the network that it is given is what keeps others out.
  const serve = { ...(project.config['serve'] as Record<string, unknown> | undefined), host: '0.0.0.0' };
  const { port } = { port: 8080, ...serve };
  const written = {
    'app/serve.json': canonicalJson(serve),
    'app/sbom.cdx.json': describeSoftware(server.packages, libraries),
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
