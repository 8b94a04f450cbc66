import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const repository = fileURLToPath(new URL('../..', import.meta.url));
let checkout: string;

beforeEach(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'maas-build-'));
  await mkdir(join(checkout, 'bin'));
  await mkdir(join(checkout, 'src', 'deep'), { recursive: true });
  await cp(join(repository, 'bin', 'build.js'), join(checkout, 'bin', 'build.js'));
  await symlink(join(repository, 'node_modules'), join(checkout, 'node_modules'));
  await writeFile(join(checkout, 'package.json'), '{"type":"module"}');
  await writeFile(
    join(checkout, 'src', 'a.ts'),
    `export const a: number = 1;\nexport { b } from './deep/b.js';\n`,
  );
  await writeFile(join(checkout, 'src', 'deep', 'b.ts'), `export const b = 2 as const;\n`);
  await writeFile(
    join(checkout, 'src', 'deep', 'entry.ts'),
    `export * from './b.js';\nexport * from '../c.js';\n`,
  );
  await writeFile(join(checkout, 'src', 'c.ts'), `export { default as same } from 'fast-deep-equal';\n`);
});
afterEach(() => rm(checkout, { recursive: true }));

function build() {
  const module = pathToFileURL(join(checkout, 'bin', 'build.js')).href;
  const root = JSON.stringify(`${pathToFileURL(checkout).href}/`);
  const program = `const { buildIfStale } = await import('${module}'); await buildIfStale(new URL(${root}), ['a', 'deep/entry']);`;
  return execa(process.execPath, ['--input-type=module', '-e', program], { reject: false });
}

const readDist = async () =>
  (await readdir(join(checkout, 'dist'), { recursive: true }))
    .filter((name) => name.endsWith('.js'))
    .map((name) => name.replace(/-[\w-]{8}\.js$/, '-HASH.js'))
    .sort();

const load = async (name: string) =>
  (await import(pathToFileURL(join(checkout, 'dist', name)).href)) as Record<string, unknown>;

describe('the build of a source checkout', () => {
  it('strips the types, once', async () => {
    const first = await build();
    expect(first).toMatchObject({ exitCode: 0 });
    expect(first.stderr).toContain('Compiling maas');
    expect(await load('a.js')).toMatchObject({ a: 1, b: 2 });
    const second = await build();
    expect({ code: second.exitCode, stderr: second.stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('takes what is not installed beside it along, with its license, and tells so', async () => {
    await build();
    const { same } = (await load('deep/entry.js')) as { same: (one: unknown, other: unknown) => boolean };
    expect(same({ a: [1] }, { a: [1] })).toBe(true);
    const chunks = JSON.parse(await readFile(join(checkout, 'dist', 'chunks.json'), 'utf8')) as object;
    const facts = { name: 'fast-deep-equal', version: expect.any(String) as string, license: 'MIT' };
    expect(chunks).toMatchObject({ 'deep/entry.js': { packages: [facts] }, 'a.js': { packages: [] } });
    expect(await readFile(join(checkout, 'dist', 'LICENSES.txt'), 'utf8')).toMatch(
      /^fast-deep-equal \S+ \(MIT\)\n\nMIT License\n/,
    );
    await writeFile(
      join(checkout, 'package.json'),
      '{"type":"module","dependencies":{"fast-deep-equal":"*"}}',
    );
    await build();
    expect(await readFile(join(checkout, 'dist', 'chunks.json'), 'utf8')).toContain(
      '\n   "fast-deep-equal"\n',
    );
  });

  it('follows edits, new files and removed ones', async () => {
    await build();
    expect(await readDist()).toEqual(['a.js', 'chunks/b-HASH.js', 'deep/entry.js']);
    await writeFile(join(checkout, 'src', 'a.ts'), 'export const a: string = "new";\n');
    await writeFile(join(checkout, 'src', 'deep', 'entry.ts'), "export * from '../d.js';\n");
    await writeFile(join(checkout, 'src', 'd.ts'), 'export const d = 4;\n');
    await rm(join(checkout, 'src', 'c.ts'));
    expect((await build()).exitCode).toBe(0);
    expect(await readFile(join(checkout, 'dist', 'a.js'), 'utf8')).toContain('"new"');
    // Who was started before may still want to import it.
    expect(await readDist()).toEqual(['a.js', 'chunks/b-HASH.js', 'deep/entry.js']);
    const [chunk] = await readdir(join(checkout, 'dist', 'chunks'));
    const days = (count: number) => new Date(Date.now() - count * 24 * 3600 * 1000);
    await utimes(join(checkout, 'dist', 'chunks', chunk!), days(2), days(2));
    await writeFile(join(checkout, 'src', 'd.ts'), 'export const d = 5;\n');
    expect((await build()).exitCode).toBe(0);
    expect(await readDist()).toEqual(['a.js', 'deep/entry.js']);
    expect(await readdir(join(checkout, 'dist'))).not.toContain('chunks');
  });

  it('leaves to who was started before it what that has yet to import', async () => {
    await writeFile(
      join(checkout, 'src', 'a.ts'),
      `process.stdout.write('up ');\nprocess.stdin.once('data', async () => console.log((await import('./deep/late.js')).late));\n`,
    );
    await writeFile(join(checkout, 'src', 'deep', 'late.ts'), `export const late = 'old';\n`);
    await build();
    const running = execa(process.execPath, [join(checkout, 'dist', 'a.js')], { buffer: true });
    await new Promise((resolve) => running.stdout.once('data', resolve));
    for (const late of ['new', 'newer']) {
      await writeFile(join(checkout, 'src', 'deep', 'late.ts'), `export const late = '${late}';\n`);
      expect((await build()).exitCode).toBe(0);
    }
    running.stdin.end('now');
    expect((await running).stdout).toBe('up old');
  });

  it('can run several times at once', async () => {
    const results = await Promise.all([build(), build(), build()]);
    expect(results.map(({ exitCode, stderr }) => [exitCode, stderr.includes('Error')])).toEqual(
      results.map(() => [0, false]),
    );
    expect(await readDist()).toEqual(['a.js', 'chunks/b-HASH.js', 'deep/entry.js']);
    expect(await readdir(join(checkout, 'dist'))).toEqual(
      expect.arrayContaining(['.stamp', 'a.js', 'a.js.map', 'chunks', 'deep']),
    );
  });

  it('shows a syntax error and leaves the last good build', async () => {
    await build();
    await writeFile(join(checkout, 'src', 'a.ts'), 'export const a: = 1;\n');
    const { exitCode, stderr } = await build();
    expect(exitCode).toBe(1);
    expect(stderr).toContain('src/a.ts:1:17');
    expect(await readFile(join(checkout, 'dist', 'a.js'), 'utf8')).toContain('a = 1');
  });
});
