import { MaasError } from '../../../../errors.js';
import type { TrainJob, TrainOutcome } from '../../../../plugin/api.js';
import { loadTfjs } from '../../../../runtime/load-tfjs.js';
import { trainWith } from '../onnx/train.js';
import { findPackage, packageName, packageVersion } from './places.js';
import { openTfStepper } from './stepper.js';
import type { Tf } from './tf.js';

/**
 * Trains with TensorFlow, on the same batches, losses and updates as the onnx engine.
 * @throws MaasError MAAS_ENGINE_MISSING when the package cannot be loaded, and what the onnx engine throws.
 */
export async function train(job: TrainJob): Promise<TrainOutcome> {
  const folder = findPackage(job.places ?? { root: '.' });
  if (folder === undefined) {
    throw new MaasError('MAAS_ENGINE_MISSING', `${packageName} with its native library is not installed`, {
      hint: 'Run `maas engines install tfjs-node`.',
    });
  }
  const tf = open(folder, job.threads);
  return trainWith(
    job,
    (thread, compiled, state) => Promise.resolve(openTfStepper(tf, thread, compiled, state)),
    `tfjs-node ${packageVersion}`,
  );
}

function open(folder: string, threads: number): Tf {
  try {
    return loadTfjs(folder, threads) as Tf;
  } catch (error) {
    throw new MaasError(
      'MAAS_ENGINE_MISSING',
      `${packageName} cannot be loaded: ${(error as Error).message}`,
      {
        cause: error,
        hint: 'Run `maas engines install tfjs-node --force`.',
      },
    );
  }
}
