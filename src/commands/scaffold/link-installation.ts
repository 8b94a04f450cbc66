import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/**
 * Links the running maas into a new project, as `npm link` does, so that `npx maas` works there before anything is
 * installed. Does nothing when the project finds a maas-cli already; `npm install` replaces the links.
 * @returns whether links were made
 */
export async function linkInstallation(project: string, installation: string): Promise<boolean> {
  if (resolves(project)) return false;
  const modules = join(project, 'node_modules');
  await mkdir(join(modules, '.bin'), { recursive: true });
  // A dangling link from an installation that is gone would be in the way.
  await rm(join(modules, 'maas-cli'), { force: true });
  await symlink(installation, join(modules, 'maas-cli'), 'junction');
  if (process.platform === 'win32') {
    await writeFile(join(modules, '.bin', 'maas.cmd'), '@node "%~dp0\\..\\maas-cli\\bin\\run.js" %*\r\n');
  } else {
    await rm(join(modules, '.bin', 'maas'), { force: true });
    await symlink('../maas-cli/bin/run.js', join(modules, '.bin', 'maas'));
  }
  return true;
}

function resolves(project: string): boolean {
  try {
    createRequire(join(project, 'package.json')).resolve('maas-cli/package.json');
    return true;
  } catch {
    return false;
  }
}
