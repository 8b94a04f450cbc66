import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Compiles parts of `src` into a folder of their own, for child processes that are killed.
 * @param parts Files, or folders whose files are taken, relative to `src`.
 * @returns the folder that stands for `src`, and what removes it.
 */
export async function compileSource(
  parts: readonly string[],
): Promise<{ folder: string; remove: () => Promise<void> }> {
  const top = await mkdtemp(join(tmpdir(), 'maas-source-'));
  const folder = join(top, 'dist');
  for (const part of parts) {
    const names = part.endsWith('.ts') ? [part] : await listSources(part);
    for (const name of names) {
      const { outputText } = ts.transpileModule(await readFile(join(root, 'src', name), 'utf8'), {
        compilerOptions: {
          target: ts.ScriptTarget.ES2023,
          module: ts.ModuleKind.ESNext,
          verbatimModuleSyntax: true,
        },
      });
      const path = join(folder, name.replace(/\.ts$/, '.js'));
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, outputText);
    }
  }
  await writeFile(join(top, 'package.json'), await readFile(join(root, 'package.json')));
  await symlink(join(root, 'node_modules'), join(top, 'node_modules'));
  return { folder, remove: () => rm(top, { recursive: true, force: true }) };
}

async function listSources(part: string): Promise<string[]> {
  const names = await readdir(join(root, 'src', part));
  return names.filter((name) => name.endsWith('.ts')).map((name) => `${part}/${name}`);
}
