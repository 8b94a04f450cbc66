import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { MaasError } from '../../../../../errors.js';
import { addonPath } from '../../../../../runtime/tfjs-package.js';
import { extract, listZip } from './zip.js';

/** The libraries, and the headers that the addon's source asks for. */
const wanted =
  /^tensorflow\/(libtensorflow_(?:cc|framework)\.so\.2|include\/(?:(?:xla\/)?tsl|tensorflow)\/(?:c|core\/platform|platform)\/.*\.h)$/;

/** Takes TensorFlow's libraries and headers out of a wheel, into `deps` of the package. */
export async function unpackLibraries(wheel: string, folder: string): Promise<void> {
  for (const entry of await listZip(wheel)) {
    const name = wanted.exec(entry.name)?.[1];
    if (name === undefined) continue;
    await extract(wheel, entry, join(folder, 'deps', name.startsWith('lib') ? join('lib', name) : name));
  }
}

/**
 * Compiles the package's addon: two files of C++ against Node-API, whose binary interface is the same for all later
 * versions of Node.js, so that one build serves them all, and needs neither Python nor the headers of a Node.js.
 * @throws MaasError MAAS_COMPILER when there is no compiler, or it fails.
 */
export async function buildAddon(folder: string, nodeApi: string, signal: AbortSignal): Promise<void> {
  const lib = join(folder, 'deps', 'lib');
  const words = [
    ...['-shared', '-fPIC', '-O2', '-std=c++17', '-DNAPI_VERSION=8'],
    `-I${join(nodeApi, 'include')}`,
    `-I${join(folder, 'deps', 'include')}`,
    ...['tfjs_backend.cc', 'tfjs_binding.cc'].map((file) => join(folder, 'binding', file)),
    ...['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'].map((file) => join(lib, file)),
    '-Wl,-rpath,$ORIGIN/../../deps/lib',
    ...['-o', join(folder, addonPath)],
  ];
  await mkdir(dirname(join(folder, addonPath)), { recursive: true });
  const hint = 'Install a C++ compiler (Debian, Ubuntu: apt install g++), then run the command again.';
  for (const compiler of ['c++', 'g++', 'clang++']) {
    const result = await execa(compiler, words, { reject: false, all: true, cancelSignal: signal });
    signal.throwIfAborted();
    if (!result.failed) return;
    if (result.code === 'ENOENT') continue;
    throw new MaasError('MAAS_COMPILER', `${compiler} cannot build the addon: ${firstLines(result.all)}`, {
      cause: result,
      hint,
    });
  }
  throw new MaasError('MAAS_COMPILER', 'there is no C++ compiler to build the addon with', { hint });
}

function firstLines(text: string): string {
  return (
    text
      .split('\n')
      .filter((line) => /error/i.test(line))
      .slice(0, 3)
      .join('; ') || text.slice(0, 300)
  );
}
