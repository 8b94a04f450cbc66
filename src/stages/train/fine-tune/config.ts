import { z } from 'zod';

const patterns = z.array(z.string().min(1)).min(1, 'expected at least one pattern').optional();

/** Keys beside `train.model.onnx`. */
export const fineTuneKeys = {
  freeze: patterns.describe('Weights that stay as they are: names, in which * stands for any text.'),
  train: patterns.describe('Weights that are trained; all others stay. Default: all that are not frozen.'),
  output: z.string().min(1).optional().describe('Output to train by, for a model that has several.'),
  head: z
    .union([
      z.enum(['auto', 'keep', 'new']),
      z.strictObject({ after: z.string().min(1).describe('Name of a value [N, features] in the file.') }),
    ])
    .optional()
    .describe(
      'The last dense layer. auto, the default: a new one when the number of classes differs. {after: VALUE}: a new one on the value of that name.',
    ),
  preprocess: z
    .boolean()
    .optional()
    .describe(
      'Whether numbers are scaled and categories looked up before the model, as for layers. Default: the model takes the numbers as they are.',
    ),
};

/** How a model that exists already is trained further. */
export interface FineTuneOptions {
  readonly onnx: string;
  readonly freeze?: readonly string[];
  readonly train?: readonly string[];
  readonly output?: string;
  readonly head?: 'auto' | 'keep' | 'new' | { readonly after: string };
  readonly preprocess?: boolean;
}
