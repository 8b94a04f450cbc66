import { readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** A package of the server, as its SBOM takes it. */
export interface Facts {
  readonly name: string;
  readonly version: string;
  readonly license?: string | undefined;
}

/** One that has files of its own, as their layer takes it. */
export interface InstalledPackage extends Facts {
  /** Where it is installed. */
  readonly folder: string;
  /** Where it goes, relative to the server: `node_modules/a`, or below the one package that needs this version of it. */
  readonly path: string;
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

/** What installs these packages, or serves parts of them that no server here calls: inference needs none of it. */
const needlessParts: Readonly<Record<string, readonly string[]>> = {
  '@grpc/grpc-js': ['@grpc/proto-loader'],
  'onnxruntime-node': ['adm-zip', 'global-agent'],
};

/** Names from the server downwards: `['a', 'b']` is `node_modules/a/node_modules/b`. */
type Place = readonly string[];

/**
 * The packages and all that they depend on, each found as Node finds it, sorted by path. They are laid out by what is needed alone, and
 * not as they happen to be installed here: beside one another; where two versions of one package are needed, the second goes below the
 * package that needs it.
 * @param root Folder of the package that needs `names`.
 */
export async function resolvePackages(names: readonly string[], root: string): Promise<InstalledPackage[]> {
  const found = new Map<string, InstalledPackage>();
  const waiting: { readonly place: Place; readonly package: InstalledPackage }[] = [];
  const put = async (name: string, folder: string, needer: Place): Promise<void> => {
    const seen = outwards(needer).map((place) => found.get(pathOf([...place, name])));
    const nearest = seen.find((one) => one !== undefined);
    const { version, license } = await readPackage(folder);
    if (nearest?.version === version) return;
    const place = nearest === undefined ? [name] : [...needer, name];
    const one = { name, version, license, folder, path: pathOf(place) };
    found.set(one.path, one);
    waiting.push({ place, package: one });
  };
  for (const name of [...names].sort()) await put(name, await findPackage(name, root), []);
  // Level by level: what a package finds has its place before anything below that package looks for it.
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const { name, folder } = next.package;
    const { dependencies = {}, optionalDependencies = {} } = await readPackage(folder);
    for (const needed of Object.keys({ ...dependencies, ...optionalDependencies }).sort()) {
      if (needlessParts[name]?.includes(needed)) continue;
      const there = await lookForPackage(needed, folder);
      if (there !== undefined) await put(needed, there, next.place);
      else if (!(needed in optionalDependencies)) throw notInstalled(needed);
    }
  }
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The places that Node looks in from one: itself, what it lies in, and so on to the server. */
function outwards(place: Place): Place[] {
  return [...place.map((_, index) => place.slice(0, place.length - index)), []];
}

function pathOf(place: Place): string {
  return place.map((name) => `node_modules/${name}`).join('/');
}

async function findPackage(name: string, from: string): Promise<string> {
  const found = await lookForPackage(name, from);
  if (found === undefined) throw notInstalled(name);
  return found;
}

function notInstalled(name: string): Error {
  return new Error(`the package ${name} is not installed`);
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

export async function readPackage(folder: string): Promise<PackageJson> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as PackageJson;
}
