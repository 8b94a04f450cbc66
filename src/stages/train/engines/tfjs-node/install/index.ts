import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { ListrTask } from 'listr2';
import { MaasError } from '../../../../../errors.js';
import type { EngineInstall } from '../../../../../plugin/api.js';
import { folderOf, packageIn, packageName, packageVersion } from '../../../../../runtime/tfjs-package.js';
import { buildAddon, unpackLibraries } from './addon.js';
import { installOwnWay } from './own-download.js';
import { tryPackage } from './try-package.js';
import { bringWheel, wheelFor } from './wheel.js';

/** Headers of Node-API, from the makers of Node.js. */
const nodeApi = { name: 'node-api-headers', version: '1.9.0' };

/**
 * Installs the package and its native part into maas' own folder. Each step is safe to repeat after a kill: what is
 * there already stays, and the folder gets its name only when it works.
 */
export function installTasks({ cache, force, signal }: EngineInstall): ListrTask[] {
  const folder = folderOf(cache);
  const draft = `${folder}.draft`;
  const inside = packageIn(draft);
  /** Why the library's own host does not serve. */
  let refusal: string | undefined;
  let wheel = '';
  return [
    {
      title: `get ${packageName} ${packageVersion} from npm`,
      task: async () => {
        if (force) await rm(draft, { recursive: true, force: true });
        await installPackages(draft, signal);
      },
    },
    {
      title: 'get libtensorflow from its own host',
      task: async (_context, task) => {
        refusal = await tryPackage(inside, signal);
        if (refusal === undefined) return;
        refusal = (await installOwnWay(inside, draft, signal)) ?? (await tryPackage(inside, signal));
        if (refusal !== undefined)
          task.title = `get libtensorflow from its own host: not possible (${refusal})`;
      },
    },
    {
      title: 'get libtensorflow from a wheel of TensorFlow instead',
      enabled: () => refusal !== undefined,
      task: async (_context, task) => {
        const known = wheelFor(`${process.platform}-${process.arch}`);
        if (!known) {
          throw new MaasError(
            'MAAS_ENGINE_MISSING',
            `no wheel of TensorFlow is known to work on ${process.platform}-${process.arch}`,
            { hint: `Install ${packageName} in the project by hand, or use the onnx engine.` },
          );
        }
        task.title = `get libtensorflow ${known.version} from the wheel of ${known.project} instead`;
        wheel = await bringWheel(known, join(cache, 'downloads'), {
          signal,
          onProgress: (done, total) => {
            task.output = `${megabytes(done)}${total === undefined ? '' : ` of ${megabytes(total)}`} MB`;
          },
        });
      },
    },
    {
      title: 'unpack its libraries and build the addon',
      enabled: () => refusal !== undefined,
      task: async () => {
        await unpackLibraries(wheel, inside);
        await buildAddon(inside, join(draft, 'node_modules', nodeApi.name), signal);
      },
    },
    {
      title: 'try it',
      task: async (_context, task) => {
        const trouble = await tryPackage(inside, signal);
        if (trouble !== undefined) {
          throw new MaasError('MAAS_ENGINE_MISSING', `${packageName} does not run here: ${trouble}`, {
            hint: 'Run the command again with --force; `maas doctor` tells what this machine has.',
          });
        }
        await rm(folder, { recursive: true, force: true });
        await rename(draft, folder);
        task.title = `it computes, and lies in ${folder}`;
      },
    },
  ];
}

const megabytes = (bytes: number) => Math.round(bytes / 1e6);

async function installPackages(folder: string, signal: AbortSignal): Promise<void> {
  await mkdir(folder, { recursive: true });
  const dependencies = { [packageName]: packageVersion, [nodeApi.name]: nodeApi.version };
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies }));
  // Its script is run by itself: it takes long, and may be stopped.
  const words = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
  const result = await execa('npm', words, { cwd: folder, reject: false, all: true, cancelSignal: signal });
  signal.throwIfAborted();
  if (!result.failed) return;
  const reason = /^npm (?:error|ERR!) (?!code)(.+)$/m.exec(result.all)?.[1] ?? result.shortMessage;
  throw new MaasError('MAAS_DOWNLOAD', `npm cannot install ${packageName}: ${reason}`, { cause: result });
}
