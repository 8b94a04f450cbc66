import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { MaasError, asDiskError } from '../../errors.js';
import { linkInstallation } from './link-installation.js';
import type { Template } from './templates.js';

export interface ScaffoldOptions {
  readonly template: Template;
  /** Absolute path of the folder to fill. */
  readonly target: string;
  /** Folder of the running maas, and its version. */
  readonly installation: { readonly path: string; readonly version: string };
  /** Write into a folder that is not empty; files of the template replace those of the same name. */
  readonly force: boolean;
}

export interface Scaffold {
  readonly name: string;
  /** Relative to the target, sorted. */
  readonly files: readonly string[];
  /** Whether node_modules/maas-cli is a link to the running maas. */
  readonly linked: boolean;
}

/** What packages never hold under its own name, because npm leaves it out. */
const storedAs: Readonly<Record<string, string>> = { gitignore: '.gitignore' };
const leftOut = new Set(['node_modules', '.maas', 'dist', 'package.json']);

/**
 * Copies a template into a folder and makes it run at once.
 * @throws MaasError MAAS_TARGET_NOT_EMPTY, MAAS_DISK
 */
export async function scaffold(options: ScaffoldOptions): Promise<Scaffold> {
  const { template, target, installation, force } = options;
  if (!force) await refuseUnlessEmpty(target);
  const name = deriveName(target);
  try {
    const files = [];
    for (const source of await listFiles(template.path)) {
      const path = relative(template.path, source);
      const file = join(target, dirname(path), storedAs[basename(path)] ?? basename(path));
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, rename(basename(path), await readFile(source), name));
      files.push(relative(target, file));
    }
    await writePackage(target, template, name, installation.version);
    const linked = await linkInstallation(target, installation.path);
    return { name, files: [...files, 'package.json'].sort(), linked };
  } catch (error) {
    throw asDiskError(error, `cannot write the project to ${target}`);
  }
}

/** A name that npm and the config accept: the folder's, in lower case, with dashes for all else. */
export function deriveName(target: string): string {
  const name = basename(target)
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 64)
    .replace(/^-+|-+$/g, '');
  return name === '' ? 'model' : name;
}

function rename(file: string, content: Buffer, name: string): Buffer | string {
  return file === 'maas.config.yaml' ? content.toString().replace(/^name:.*$/m, `name: ${name}`) : content;
}

async function refuseUnlessEmpty(target: string): Promise<void> {
  const found = (await listEntries(target)).filter((entry) => entry !== '.git');
  if (found.length > 0) {
    throw new MaasError('MAAS_TARGET_NOT_EMPTY', `${target} is not empty`, {
      place: { file: target },
      details: { found: found.slice(0, 10) },
    });
  }
}

async function listEntries(target: string): Promise<string[]> {
  try {
    return await readdir(target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw asDiskError(error, `cannot read ${target}`);
  }
}

async function listFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (leftOut.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) files.push(...(await listFiles(path)));
    else files.push(path);
  }
  return files;
}

/** The template's package.json under the project's name; a project that has one already only gains what is missing. */
async function writePackage(
  target: string,
  template: Template,
  name: string,
  version: string,
): Promise<void> {
  interface Package {
    [key: string]: unknown;
    scripts?: Record<string, string>;
    dependencies?: Record<string, string>;
  }
  const read = async (path: string) => JSON.parse(await readFile(path, 'utf8')) as Package;
  const path = join(target, 'package.json');
  const given = await read(join(template.path, 'package.json'));
  delete given['description'];
  const own: Package = existsSync(path) ? await read(path) : { name };
  const merged: Package = {
    ...given,
    ...own,
    scripts: { ...given.scripts, ...own.scripts },
    dependencies: { ...given.dependencies, 'maas-cli': `^${version}`, ...own.dependencies },
  };
  await writeFile(path, `${JSON.stringify({ name: merged['name'], ...merged }, null, 2)}\n`);
}
