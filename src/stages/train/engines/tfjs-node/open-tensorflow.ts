import { MaasError } from '../../../../errors.js';
import type { Places } from '../../../../plugin/api.js';
import { loadTfjs } from '../../../../runtime/load-tfjs.js';
import { findPackage, packageName, resolvePackage } from '../../../../runtime/tfjs-package.js';

const plainPackage = '@tensorflow/tfjs';

/**
 * TensorFlow.js with TensorFlow's native library behind it.
 * @throws MaasError MAAS_ENGINE_MISSING when it is not there or cannot be loaded.
 */
export function openNative(places: Places, threads: number): unknown {
  const folder = findPackage(places);
  if (folder !== undefined) return open(packageName, folder, threads);
  throw new MaasError('MAAS_ENGINE_MISSING', `${packageName} with its native library is not installed`, {
    hint: 'Run `maas engines install tfjs-node`.',
  });
}

/**
 * TensorFlow.js to make models with: the native one, or the project's own copy without a native library.
 * @throws MaasError MAAS_ENGINE_MISSING as above.
 */
export function openTensorFlow(places: Places): unknown {
  const plain = findPackage(places) === undefined ? resolvePackage(places.root, plainPackage) : undefined;
  return plain === undefined ? openNative(places, 1) : open(plainPackage, plain, 1);
}

function open(name: string, folder: string, threads: number): unknown {
  try {
    return loadTfjs(folder, threads);
  } catch (error) {
    throw new MaasError('MAAS_ENGINE_MISSING', `${name} cannot be loaded: ${(error as Error).message}`, {
      cause: error,
      hint: 'Run `maas engines install tfjs-node --force`.',
    });
  }
}
