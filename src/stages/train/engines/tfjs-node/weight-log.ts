import { join } from 'node:path';
import type { Tensor, Tf } from '../../../../ir/tfjs/tf.js';

/** As much of TensorFlow.js for Node.js as writes summaries. */
type TfOfNode = Tf & {
  readonly node: {
    summaryFileWriter(folder: string): {
      histogram(name: string, values: Tensor, step: number): void;
      flush(): void;
    };
  };
};

/** Writes how weights are distributed. @param epoch Counted from 1. */
export type WeightLog = (weights: ReadonlyMap<string, Tensor>, epoch: number) => void;

/**
 * Opens the histograms of a run: TensorFlow's own event file in `weights/` of the run's log, which TensorBoard shows
 * beside the figures that maas writes for every engine. A run that goes on from a checkpoint begins another file there.
 */
export function openWeightLog(tf: Tf, log: string): WeightLog {
  const writer = (tf as TfOfNode).node.summaryFileWriter(join(log, 'weights'));
  return (weights, epoch) => {
    for (const [name, tensor] of weights) writer.histogram(name, tensor, epoch);
    // A kill then loses nothing of the epoch.
    writer.flush();
  };
}
