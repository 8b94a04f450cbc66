import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { resolvePackages } from '../../../../../src/stages/deploy/targets/oci/packages.js';
import { makeRoot } from '../../../../conformance/target-suite.js';

let root: string;
beforeEach(async () => {
  root = await makeRoot('maas-packages-');
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Installs `name@version` at a path below the root. */
async function install(path: string, version: string, needs: readonly string[] = [], optional = {}) {
  const folder = join(root, path);
  await mkdir(folder, { recursive: true });
  const name = path.split('node_modules/').at(-1)!;
  const dependencies = Object.fromEntries(needs.map((need) => [need, '*']));
  await writeFile(
    join(folder, 'package.json'),
    JSON.stringify({ name, version, dependencies, optionalDependencies: optional }),
  );
}

async function layOut(...names: string[]): Promise<string[]> {
  return (await resolvePackages(names, root)).map(({ path, version }) => `${path}@${version}`);
}

it('two versions of a package each go where those who need them find them', async () => {
  await install('node_modules/a', '1.0.0', ['@s/text']);
  await install('node_modules/b', '1.0.0', ['@s/text', 'c']);
  await install('node_modules/@s/text', '7.0.0');
  await install('node_modules/b/node_modules/@s/text', '6.0.0', ['c']);
  await install('node_modules/c', '1.0.0', ['@s/text']);
  expect(await layOut('b', 'a')).toEqual([
    'node_modules/@s/text@7.0.0',
    'node_modules/a@1.0.0',
    'node_modules/b@1.0.0',
    'node_modules/b/node_modules/@s/text@6.0.0',
    'node_modules/c@1.0.0',
  ]);
});

it('the layout does not tell how packages are installed here', async () => {
  await install('node_modules/a', '1.0.0', ['c']);
  await install('node_modules/a/node_modules/c', '1.0.0');
  expect(await layOut('a')).toEqual(['node_modules/a@1.0.0', 'node_modules/c@1.0.0']);
});

it('takes what is optional if it is there, and packages that need each other once', async () => {
  await install('node_modules/a', '1.0.0', ['b'], { missing: '*', there: '*' });
  await install('node_modules/b', '1.0.0', ['a']);
  await install('node_modules/there', '1.0.0');
  expect(await layOut('a')).toEqual([
    'node_modules/a@1.0.0',
    'node_modules/b@1.0.0',
    'node_modules/there@1.0.0',
  ]);
});

it('names a package that is not installed', async () => {
  await install('node_modules/a', '1.0.0', ['gone']);
  await expect(layOut('a')).rejects.toThrow('the package gone is not installed');
});
