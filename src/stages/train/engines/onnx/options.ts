import { z } from 'zod';

/** What can be said of the engine in `train.engine: {onnx: …}`. */
export const engineOptions = z.strictObject({
  checkpointSeconds: z
    .number()
    .min(0)
    .default(1)
    .describe('Least time between two checkpoints; 0 writes one before each step.'),
  stepsPerRun: z
    .int()
    .min(1)
    .optional()
    .describe(
      'Most steps between two looks at Ctrl-C; by default as many as fit into a moment. Same weights.',
    ),
});
