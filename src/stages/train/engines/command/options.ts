import { z } from 'zod';

/** What can be said of the engine in `train.engine: {command: …}`. */
export const commandOptions = z.strictObject({
  run: z
    .string()
    .trim()
    .min(1)
    .describe('Command line of the trainer. The shell runs it in the folder of this file.'),
  inputs: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'Files that change the result, as patterns: [train.py, models/**/*.py]. Those that `run` names count by themselves.',
    ),
  versions: z
    .record(z.string(), z.string().min(1))
    .default({})
    .describe(
      'Commands whose output changes the result, such as {torch: "pip show torch"}. Run at each `maas train`.',
    ),
  env: z.record(z.string(), z.string()).default({}).describe('Environment variables for the trainer.'),
  options: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('Anything that the trainer reads from MAAS_CONFIG, such as {hidden: 64}.'),
  preprocess: z
    .boolean()
    .default(true)
    .describe(
      'Whether the trainer gets one matrix of numbers, scaled, filled and with a column for each category, and maas puts the same before its model; or the columns as they are.',
    ),
  output: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Output of model.onnx with a number for each class, or the amount. Default: its only one of float32.',
    ),
  graceSeconds: z.number().min(0).default(10).describe('Time between asking the trainer to stop and a kill.'),
  silenceSeconds: z
    .number()
    .positive()
    .optional()
    .describe('Ends a trainer that has neither printed nor reported anything for so long. Default: never.'),
});

export type CommandOptions = z.output<typeof commandOptions>;
