// Builds dist/ from src/: modules in a few files, together with the packages that are not installed beside maas, for Node takes a
// millisecond a file. Type errors are `npm test`'s business: this only strips the types.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

/** What is imported or started by its path, relative to src/. */
const ownEntries = [
  'plugin/index',
  'stages/register',
  'commands/cli/execute',
  'commands/cli/command-not-found',
  'commands/cli/serve-image',
  ...['train', 'compress', 'deploy', 'serve', 'bench', 'export', 'run', 'status', 'init', 'doctor'].map(
    (name) => `commands/${name}`,
  ),
  'commands/engines/index',
  'commands/engines/install',
  'runtime/thread/worker',
  'runtime/peak-memory-process',
  'runtime/prepared/prepare-process',
  'stages/train/distributed/rank',
  'stages/train/distributed/probe',
];

/** Dependencies for the sake of their types: plugins are checked against them, and get what is in dist/. */
const bundledAllTheSame = ['@oclif/core', 'listr2', 'zod'];

/** What oclif would load for commands in TypeScript. */
const neverLoaded = ['typescript'];

/** Makes dist/ match src/. Costs a few milliseconds when it does already, a second or two when not. */
export async function buildIfStale(rootUrl, entries = ownEntries) {
  const root = fileURLToPath(rootUrl);
  const stamp = join(root, 'dist', '.stamp');
  const fingerprint = takeFingerprint(root);
  if (readIfThere(stamp) === fingerprint) return;

  const spinner = await startSpinner('Compiling maas').catch(() => {
    process.stderr.write('The dependencies are not installed: run `npm ci` first.\n');
    process.exit(4);
  });
  let scratch;
  try {
    const outputs = await compile(root, entries);
    const before = new Set(Object.keys(JSON.parse(readIfThere(join(root, 'dist', 'chunks.json')) ?? '{}')));
    // Each file is renamed into place whole, and the stamp comes last: two builds at once write the same bytes, and a
    // build that is killed is simply done again.
    mkdirSync(join(root, 'dist'), { recursive: true });
    scratch = join(root, 'dist', `.scratch-${process.pid}`);
    mkdirSync(scratch);
    const write = (path, text) => {
      if (readIfThere(path) === text) return;
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(join(scratch, 'file'), text);
      renameSync(join(scratch, 'file'), path);
    };
    for (const [path, text] of outputs) write(path, text);
    const manifest = await describeCommands(root);
    if (manifest) write(join(root, 'oclif.manifest.json'), JSON.stringify(manifest, null, 2));
    write(stamp, fingerprint);
    removeOld(join(root, 'dist'), outputs, before);
    removeEmptyFolders(join(root, 'dist'));
    spinner.succeed();
  } catch (error) {
    spinner.fail();
    process.stderr.write(`${stripVTControlCharacters(error.message).trim()}\n`);
    process.exit(error.code ? 4 : 1);
  } finally {
    if (scratch) rmSync(scratch, { recursive: true, force: true });
  }
}

/** Milliseconds that chunks are kept which no build has any more: a server that was started before may still want to import some. */
const patience = 24 * 3600 * 1000;

/** @param before Files of the build before this one, below dist. */
function removeOld(dist, outputs, before) {
  const now = new Date();
  for (const path of listFiles(dist)) {
    if (!/\.js(\.map)?$/.test(path) || outputs.has(path)) continue;
    const isChunk = path.startsWith(join(dist, 'chunks')) && path.endsWith('.js');
    // From now on it is old.
    if (isChunk && before.has(path.slice(dist.length + 1).replaceAll(sep, '/'))) utimesSync(path, now, now);
    else if (!isChunk || now - statSync(path).mtime > patience) rmSync(path, { force: true });
  }
}

/** Changes when a source file is added, removed or edited. Any difference counts, not only newer times. */
function takeFingerprint(root) {
  const own = ['bin/build.js', 'package.json'].map((path) => join(root, path));
  const files = [...listFiles(join(root, 'src')), ...listInternals(root), ...own];
  let newest = 0;
  let size = 0;
  for (const file of files) {
    const stats = statSync(file);
    newest = Math.max(newest, stats.mtimeMs);
    size += stats.size;
  }
  return `${files.length} files, ${size} bytes, ${newest}`;
}

/** What tests and benches call in processes of their own is built too, and not published. */
function listInternals(root) {
  const folder = join(root, 'test', 'internals');
  return existsSync(folder) ? listFiles(folder) : [];
}

/**
 * oclif loads all that it might need for any command before it runs one: let each of its modules load another when it first uses
 * it. TypeScript wrote these modules, with a name of its own for each that is required.
 */
const requireLate = {
  name: 'require-late',
  transform: {
    filter: { id: /[\\/]@oclif[\\/]core[\\/]lib[\\/].*\.js$/ },
    handler(code) {
      const names = [];
      const late = code.replace(
        /^(?:const|var) (\w+_\d+) = (.*\brequire\("[^"]+"\)\)?);$/gm,
        (_, name, required) => {
          names.push(name);
          return `let ${name}_; const ${name} = () => ${name}_ ??= ${required};`;
        },
      );
      return {
        code: names.reduce(
          (text, name) => text.replaceAll(new RegExp(`\\b${name}\\.`, 'g'), `(${name}()).`),
          late,
        ),
        // Lines stay where they are.
        map: null,
      };
    },
  },
};

/** The same for the metrics, of which the server has no use for those that push, sum up over processes or read clocks. */
const requireOnDemand = {
  name: 'require-on-demand',
  transform: {
    filter: { id: /[\\/]prom-client[\\/]index\.js$/ },
    handler: (code) => ({
      code: code.replace(
        /^exports\.(\w+) =(\s+)(require\('[^']+'\)(?:\.\w+)?);$/gm,
        "Object.defineProperty(exports, '$1', { enumerable: true,$2get: () => $3 });",
      ),
      map: null,
    }),
  },
};

/** @returns {Promise<Map<string, string>>} text by absolute path in dist */
async function compile(root, entries) {
  const { rolldown } = await import('rolldown').catch(() => {
    throw new Error('Cannot find rolldown: run `npm ci` without --omit=dev.');
  });
  const { dependencies, optionalDependencies, peerDependencies } = readFacts(root);
  const installed = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
  const external = [...installed.filter((name) => !bundledAllTheSame.includes(name)), ...neverLoaded];
  const input = Object.fromEntries([
    ...entries.map((entry) => [entry, join(root, 'src', `${entry}.ts`)]),
    ...listInternals(root).map((path) => [`internals/${basename(path, '.ts')}`, path]),
  ]);
  const dist = join(root, 'dist');
  const { resolve } = createRequire(join(root, 'package.json'));
  const bundle = await rolldown({
    cwd: root,
    input,
    external: (name) => external.some((each) => name === each || name.startsWith(`${each}/`)),
    platform: 'node',
    tsconfig: false,
    plugins: [requireLate, requireOnDemand],
    // Of the same sources, as modules that are put together in one: Node would be given a hundred functions to run.
    resolve: { alias: { yaml: join(dirname(resolve('yaml/package.json')), 'browser', 'dist', 'index.js') } },
    // What a package's author would be told.
    checks: { eval: false },
    onLog(level, log) {
      if (level === 'warn') throw new Error(log.message);
    },
  });
  const { output } = await bundle.generate({
    dir: dist,
    format: 'esm',
    sourcemap: true,
    sourcemapExcludeSources: true,
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
  });
  await bundle.close();
  const chunks = output.filter(({ type }) => type === 'chunk');
  const outputs = new Map(
    chunks.flatMap(({ fileName, code, map }) => [
      [join(dist, fileName), code],
      ...(map ? [[join(dist, `${fileName}.map`), map.toString()]] : []),
    ]),
  );
  const packages = readPackages(chunks);
  outputs.set(join(dist, 'chunks.json'), JSON.stringify(describeChunks(chunks, packages), null, 1));
  outputs.set(join(dist, 'LICENSES.txt'), joinLicenses(packages));
  return outputs;
}

/** Flags and texts of all commands: without this, oclif would load each of them at every start. */
async function describeCommands(root) {
  if (!readFacts(root).oclif) return undefined;
  const { Plugin } = await import('@oclif/core');
  const plugin = new Plugin({
    root,
    type: 'core',
    ignoreManifest: true,
    errorOnManifestCreate: true,
    respectNoCacheDefault: true,
  });
  await plugin.load();
  return plugin.manifest;
}

function readFacts(root) {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
}

/** What each file imports, and the packages that are in it: what an image of the server is put together by. */
function describeChunks(chunks, packages) {
  return Object.fromEntries(
    chunks.map(({ fileName, imports, dynamicImports, moduleIds }) => [
      fileName,
      {
        imports: [...imports, ...dynamicImports],
        packages: [...new Set(moduleIds.map(packageFolder))]
          .filter((folder) => packages.has(folder))
          .map((folder) => {
            const { name, version, license } = packages.get(folder);
            return { name, version, license };
          }),
      },
    ]),
  );
}

/** Facts by folder of the packages that are in the chunks. */
function readPackages(chunks) {
  const folders = new Set(chunks.flatMap(({ moduleIds }) => moduleIds.map(packageFolder)));
  return new Map(
    [...folders]
      .filter((folder) => folder !== undefined)
      .sort()
      .map((folder) => [folder, JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))]),
  );
}

function packageFolder(moduleId) {
  return /^\0?(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)/.exec(moduleId)?.[1];
}

/** Their licenses ask to come along. */
function joinLicenses(packages) {
  return [...packages]
    .map(([folder, { name, version, license }]) => {
      const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
      const texts = files.map((file) => readFileSync(join(folder, file), 'utf8').trim());
      return [`${name} ${version} (${license})`, ...texts].join('\n\n');
    })
    .join(`\n\n${'-'.repeat(80)}\n\n`);
}

function listFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    // join() would take longer than all else at a start that finds nothing to do.
    const path = folder + sep + entry.name;
    if (entry.isDirectory()) return entry.name.startsWith('.scratch-') ? [] : listFiles(path);
    return [path];
  });
}

function removeEmptyFolders(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name.startsWith('.scratch-')) continue;
    const path = join(folder, entry.name);
    removeEmptyFolders(path);
    if (readdirSync(path).length === 0) rmSync(path, { recursive: true, force: true });
  }
}

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

async function startSpinner(text) {
  const { default: ora } = await import('ora');
  return ora({ text, stream: process.stderr, discardStdin: false }).start();
}

// `npm run build`
if (process.argv[1] === fileURLToPath(import.meta.url)) await buildIfStale(new URL('..', import.meta.url));
