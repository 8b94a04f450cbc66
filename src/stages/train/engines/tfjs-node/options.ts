import { z } from 'zod';
import { engineOptions } from '../onnx/options.js';

/** What can be said of the engine in `train.engine: {tfjs-node: …}`. */
export const tfjsNodeOptions = engineOptions.omit({ stepsPerRun: true }).extend({
  histogramFreq: z
    .int()
    .min(0)
    .default(0)
    .describe('Epochs from one histogram of each weight to the next, for TensorBoard; 0 writes none.'),
});
