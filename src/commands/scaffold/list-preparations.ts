import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Template } from './templates.js';

/**
 * Commands that a new project needs before its first run: for packages of its template that neither the project nor
 * the running maas finds, and for those of Python.
 * @param target Absolute path of the project.
 * @param installation Absolute path of the running maas.
 */
export function listPreparations(template: Template, target: string, installation: string): string[] {
  const { dependencies = {} } = JSON.parse(readFileSync(join(template.path, 'package.json'), 'utf8')) as {
    dependencies?: Readonly<Record<string, string>>;
  };
  const missing = Object.keys(dependencies).filter(
    (name) => !finds(target, name) && !finds(installation, name),
  );
  return [
    ...(missing.length > 0 ? [`npm install ${missing.join(' ')}`] : []),
    ...(existsSync(join(template.path, 'requirements.txt'))
      ? ['python3 -m venv .venv && .venv/bin/pip install -r requirements.txt']
      : []),
  ];
}

function finds(folder: string, name: string): boolean {
  try {
    createRequire(join(folder, 'package.json')).resolve(name);
    return true;
  } catch {
    return false;
  }
}
