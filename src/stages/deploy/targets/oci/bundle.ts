import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listTree } from '../../../../artifacts/durable.js';
import { ownFile } from '../../../../own-files.js';
import { type Facts, readPackage, resolvePackages } from './packages.js';
import type { LayerFile } from './tar-layer.js';

/** The part of this package that serves, and the packages that it needs. */
export interface ServerBundle {
  /** Modules of this package, under `app/`. */
  readonly app: readonly LayerFile[];
  /** `app/node_modules/`, without what only installs, types or maps. */
  readonly dependencies: readonly LayerFile[];
  /** Those, and what of others is in the modules. */
  readonly packages: readonly Facts[];
  /** Where the server starts, as an absolute path in the image. */
  readonly entry: string;
}

const needless = /(^|\/)(\.[^/]*|[^/]*\.(d\.[cm]?ts|[cm]?ts|tsx|map|md|markdown|flow))$/i;
const needlessFolder = /(^|\/)(test|tests|__tests__|docs?|examples?|benchmarks?|src|script)\//;

/** What `dist/chunks.json` tells of each file of dist. */
type Chunks = Readonly<
  Record<string, { readonly imports: readonly string[]; readonly packages: readonly Facts[] }>
>;

/** Where the server starts, and where its threads do. */
const entries = ['commands/cli/serve-image.js', 'runtime/thread/worker.js'];

/**
 * Follows the imports of the server's entries through dist/, and the dependencies of every package that is met.
 * @param needs Names of packages that only some models need, and this one does.
 * @param root Folder of this package; its dist/ must be built.
 */
export async function collectServer(
  needs: readonly string[] = [],
  root: string = fileURLToPath(ownFile('.')),
): Promise<ServerBundle> {
  const chunks = JSON.parse(await readFile(join(root, 'dist', 'chunks.json'), 'utf8')) as Chunks;
  const { modules, packages: imported, within } = trace(chunks);
  const { peerDependenciesMeta = {} } = await readPackage(root);
  const named = imported.filter((name) => !peerDependenciesMeta[name]?.optional || needs.includes(name));
  const files = ['package.json', ...['LICENSES.txt', ...modules].map((file) => `dist/${file}`)];
  const app = files.map((file) => ({ path: `app/${file}`, from: join(root, file) }));
  const packages = await resolvePackages(named, root);
  const dependencies: LayerFile[] = [];
  for (const { name, folder, path } of packages) {
    for (const file of (await listTree(folder)).files) {
      if (isWanted(name, file)) dependencies.push({ path: `app/${path}/${file}`, from: join(folder, file) });
    }
  }
  return { app, dependencies, packages: [...packages, ...within], entry: `/app/dist/${entries[0]!}` };
}

function trace(chunks: Chunks): { modules: string[]; packages: string[]; within: Facts[] } {
  const modules = new Set(entries);
  const packages = new Set<string>();
  const within = new Map<string, Facts>();
  // A set goes on with what is added to it on the way.
  for (const module of modules) {
    for (const specifier of chunks[module]!.imports) {
      if (specifier in chunks) modules.add(specifier);
      else if (!specifier.startsWith('node:')) packages.add(packageName(specifier));
    }
    for (const facts of chunks[module]!.packages) within.set(`${facts.name}@${facts.version}`, facts);
  }
  const sorted = [...within].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, facts]) => facts);
  return { modules: [...modules].sort(), packages: [...packages].sort(), within: sorted };
}

function packageName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function isWanted(name: string, file: string): boolean {
  // Packages within this one have places of their own.
  if (file.startsWith('node_modules/')) return false;
  if (name === 'onnxruntime-node' && file.startsWith('bin/')) {
    return file.includes(`/${process.platform}/${process.arch}/`);
  }
  return !needless.test(file) && !needlessFolder.test(file);
}
