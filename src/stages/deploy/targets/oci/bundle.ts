import { readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { listTree } from '../../../../artifacts/durable.js';
import { type BundledPackage, readPackage, resolvePackages } from './packages.js';
import type { LayerFile } from './tar-layer.js';

/** The part of this package that serves, and the packages that it needs. */
export interface ServerBundle {
  /** This package's own modules, under `app/`. */
  readonly app: readonly LayerFile[];
  /** `app/node_modules/`, without what only installs, types or maps. */
  readonly dependencies: readonly LayerFile[];
  readonly packages: readonly BundledPackage[];
  /** Where the server starts, as an absolute path in the image. */
  readonly entry: string;
}

const needless = /(^|\/)(\.[^/]*|[^/]*\.(d\.[cm]?ts|[cm]?ts|tsx|map|md|markdown|flow))$/i;
const needlessFolder = /(^|\/)(test|tests|__tests__|docs?|examples?|benchmarks?|src|script)\//;

/** dist/ of the package that is running: the compiled form of src/. */
function packageRoot(): string {
  return fileURLToPath(new URL('../../../../../', import.meta.url));
}

/**
 * Follows the imports of the server's entry through dist/, and the dependencies of every package that is met.
 * @param needs Names of packages that only some models need, and this one does.
 * @param root Folder of this package; its dist/ must be built.
 */
export async function collectServer(
  needs: readonly string[] = [],
  root: string = packageRoot(),
): Promise<ServerBundle> {
  const entry = 'dist/commands/cli/serve-image.js';
  const { modules, packages: traced } = await traceModules(join(root, entry));
  const { peerDependenciesMeta = {} } = await readPackage(root);
  const named = traced.filter((name) => !peerDependenciesMeta[name]?.optional || needs.includes(name));
  const files = [join(root, 'package.json'), ...modules];
  const app = files.map((file) => ({ path: `app/${toPosix(relative(root, file))}`, from: file }));
  const packages = await resolvePackages(named, root);
  const dependencies: LayerFile[] = [];
  for (const { name, folder, path } of packages) {
    for (const file of (await listTree(folder)).files) {
      if (isWanted(name, file)) dependencies.push({ path: `app/${path}/${file}`, from: join(folder, file) });
    }
  }
  return { app, dependencies, packages, entry: `/app/${entry}` };
}

/** tsc writes every import in one of these forms; the last one starts a worker. */
const importForms =
  /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|^import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)|\bnew URL\(\s*['"](\.[^'"]+\.js)['"]\s*,\s*import\.meta\.url/gm;

async function traceModules(entry: string): Promise<{ modules: string[]; packages: string[] }> {
  const modules = new Set<string>();
  const packages = new Set<string>();
  const visit = async (file: string): Promise<void> => {
    if (modules.has(file)) return;
    modules.add(file);
    const text = await readFile(file, 'utf8');
    for (const [, from, bare, dynamic, worker] of text.matchAll(importForms)) {
      const specifier = (from ?? bare ?? dynamic ?? worker)!;
      if (specifier.startsWith('.')) await visit(fileURLToPath(new URL(specifier, pathToFileURL(file))));
      else if (!specifier.startsWith('node:')) packages.add(packageName(specifier));
    }
  };
  await visit(entry);
  return { modules: [...modules].sort(), packages: [...packages].sort() };
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

function toPosix(path: string): string {
  return path.split(sep).join('/');
}
