import type { TrainJob, TrainOutcome } from '../../../../plugin/api.js';
import type { Tf } from '../../../../ir/tfjs/tf.js';
import { packageVersion } from '../../../../runtime/tfjs-package.js';
import { trainWith } from '../onnx/train.js';
import { openNative } from './open-tensorflow.js';
import { tfjsNodeOptions } from './options.js';
import { openTfStepper, type TfStepper } from './stepper.js';
import { openWeightLog } from './weight-log.js';

/**
 * Trains with TensorFlow, on the same batches, losses and updates as the onnx engine.
 * @throws MaasError MAAS_ENGINE_MISSING when the package cannot be loaded, and what the onnx engine throws.
 */
export async function train(job: TrainJob): Promise<TrainOutcome> {
  const tf = openNative(job.places ?? { root: '.' }, job.threads) as Tf;
  const { histogramFreq, ...options } = tfjsNodeOptions.parse(job.options);
  const logWeights = histogramFreq > 0 && job.log !== undefined ? openWeightLog(tf, job.log) : undefined;
  let stepper: TfStepper | undefined;
  return trainWith(
    {
      ...job,
      options,
      onProgress(progress) {
        const { epoch, validation } = progress;
        if (validation && epoch % histogramFreq === 0) logWeights?.(stepper!.weights(), epoch);
        job.onProgress(progress);
      },
    },
    (thread, compiled, state) => Promise.resolve((stepper = openTfStepper(tf, thread, compiled, state))),
    `tfjs-node ${packageVersion}`,
  );
}
