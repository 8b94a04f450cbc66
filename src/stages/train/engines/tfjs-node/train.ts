import type { TrainJob, TrainOutcome } from '../../../../plugin/api.js';
import { trainWith } from '../onnx/train.js';
import { openNative } from './open-tensorflow.js';
import { packageVersion } from '../../../../runtime/tfjs-package.js';
import { openTfStepper } from './stepper.js';
import type { Tf } from '../../../../ir/tfjs/tf.js';

/**
 * Trains with TensorFlow, on the same batches, losses and updates as the onnx engine.
 * @throws MaasError MAAS_ENGINE_MISSING when the package cannot be loaded, and what the onnx engine throws.
 */
export async function train(job: TrainJob): Promise<TrainOutcome> {
  const tf = openNative(job.places ?? { root: '.' }, job.threads) as Tf;
  return trainWith(
    job,
    (thread, compiled, state) => Promise.resolve(openTfStepper(tf, thread, compiled, state)),
    `tfjs-node ${packageVersion}`,
  );
}
