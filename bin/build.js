// Builds dist/ from src/ in a source checkout. Type errors are `npm test`'s business: this only strips the types.
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Makes dist/ match src/. Costs a few milliseconds when it does already, a second or two when not. */
export async function buildIfStale(rootUrl) {
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
    const outputs = await compile(root);
    // Each file is renamed into place whole, and the stamp comes last: two builds at once write the same bytes, and a
    // build that is killed is simply done again.
    mkdirSync(join(root, 'dist'), { recursive: true });
    scratch = join(root, 'dist', `.scratch-${process.pid}`);
    mkdirSync(scratch);
    for (const [path, text] of [...outputs, [stamp, fingerprint]]) {
      if (readIfThere(path) === text) continue;
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(join(scratch, 'file'), text);
      renameSync(join(scratch, 'file'), path);
    }
    for (const path of listFiles(join(root, 'dist'))) {
      if (/\.js(\.map)?$/.test(path) && !outputs.has(path)) rmSync(path, { force: true });
    }
    spinner.succeed();
  } catch (error) {
    spinner.fail();
    process.stderr.write(`${error.message}\n`);
    process.exit(error.code ? 4 : 1);
  } finally {
    if (scratch) rmSync(scratch, { recursive: true, force: true });
  }
}

/** Changes when a source file is added, removed or edited. Any difference counts, not only newer times. */
function takeFingerprint(root) {
  const files = [...listFiles(join(root, 'src')), join(root, 'tsconfig.json'), join(root, 'bin', 'build.js')];
  let newest = 0;
  let size = 0;
  for (const file of files) {
    const stats = statSync(file);
    newest = Math.max(newest, stats.mtimeMs);
    size += stats.size;
  }
  return `${files.length} files, ${size} bytes, ${newest}`;
}

/** @returns {Promise<Map<string, string>>} text by absolute path in dist */
async function compile(root) {
  const { default: ts } = await import('typescript').catch(() => {
    throw new Error('Cannot find TypeScript: run `npm ci` without --omit=dev.');
  });
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
  const outputs = new Map();
  for (const source of listFiles(join(root, 'src'))) {
    if (!source.endsWith('.ts')) continue;
    const target = join(root, 'dist', relative(join(root, 'src'), source)).replace(/\.ts$/, '.js');
    const { outputText, sourceMapText, diagnostics } = ts.transpileModule(readFileSync(source, 'utf8'), {
      fileName: source,
      reportDiagnostics: true,
      // One file alone does not show that its package is ESM, so say it.
      compilerOptions: {
        ...options,
        module: ts.ModuleKind.ESNext,
        moduleResolution: ts.ModuleResolutionKind.Bundler,
        declaration: false,
        sourceMap: true,
      },
    });
    if (diagnostics.length > 0) throw new Error(ts.formatDiagnostics(diagnostics, formatHost(root)));
    const map = {
      ...JSON.parse(sourceMapText),
      sources: [relative(dirname(target), source).split(sep).join('/')],
    };
    outputs.set(target, outputText).set(`${target}.map`, JSON.stringify(map));
  }
  return outputs;
}

function formatHost(root) {
  return { getCanonicalFileName: (name) => name, getCurrentDirectory: () => root, getNewLine: () => '\n' };
}

function listFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name.startsWith('.scratch-') ? [] : listFiles(path);
    return [path];
  });
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
