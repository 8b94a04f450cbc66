import { readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { listTree } from '../../../../artifacts/durable.js';
import type { LayerFile } from './tar-layer.js';

/** A package of the server, as its SBOM and its layer take it. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  readonly license: string | undefined;
  readonly folder: string;
}

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

/** Of the packages below only these parts are needed to run inference: the others install it. */
const onlyInstalls: Readonly<Record<string, readonly string[]>> = {
  'onnxruntime-node': ['adm-zip', 'global-agent'],
};
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
  for (const { name, folder } of packages) {
    for (const file of (await listTree(folder)).files) {
      if (isWanted(name, file)) {
        dependencies.push({ path: `app/node_modules/${name}/${file}`, from: join(folder, file) });
      }
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

interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  /** Builds for several platforms, of which those for this one are installed. */
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** The packages and all that they depend on, each found as Node finds it, sorted by name. */
async function resolvePackages(names: readonly string[], root: string): Promise<BundledPackage[]> {
  const found = new Map<string, BundledPackage>();
  const visit = async (name: string, from: string): Promise<void> => {
    const folder = await findPackage(name, from);
    const known = found.get(name);
    if (known?.folder === folder) return;
    // One flat node_modules holds them all; two versions of a package would need a tree.
    if (known !== undefined)
      throw new Error(`two versions of ${name} are needed: ${known.folder}, ${folder}`);
    const { version, license, dependencies, optionalDependencies = {} } = await readPackage(folder);
    found.set(name, { name, version, license, folder });
    for (const next of Object.keys(dependencies ?? {})) {
      if (!onlyInstalls[name]?.includes(next)) await visit(next, folder);
    }
    for (const next of Object.keys(optionalDependencies)) {
      if (await lookForPackage(next, folder)) await visit(next, folder);
    }
  };
  for (const name of names) await visit(name, root);
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function findPackage(name: string, from: string): Promise<string> {
  const found = await lookForPackage(name, from);
  if (found === undefined) throw new Error(`the package ${name} is not installed`);
  return found;
}

async function lookForPackage(name: string, from: string): Promise<string | undefined> {
  for (const folder of createRequire(join(from, 'package.json')).resolve.paths(name) ?? []) {
    const candidate = join(folder, ...name.split('/'));
    if (
      await stat(join(candidate, 'package.json')).then(
        () => true,
        () => false,
      )
    )
      return candidate;
  }
  return undefined;
}

async function readPackage(folder: string): Promise<PackageJson> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as PackageJson;
}

function isWanted(name: string, file: string): boolean {
  if (name === 'onnxruntime-node' && file.startsWith('bin/')) {
    return file.includes(`/${process.platform}/${process.arch}/`);
  }
  return !needless.test(file) && !needlessFolder.test(file);
}

function toPosix(path: string): string {
  return path.split(sep).join('/');
}
