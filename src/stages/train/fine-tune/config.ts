import { z } from 'zod';

const path = () => z.string().min(1).optional();
const patterns = z.array(z.string().min(1)).min(1, 'expected at least one pattern').optional();

/** Keys beside one of those that name a file. */
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

/** Keys of `train.model` that name a file with a model, and what they say. */
export const fileKeys = {
  onnx: path().describe('An ONNX file to train further, as PyTorch, TensorFlow and others export it.'),
  keras: path().describe(
    'A Keras model to train further: the model.json of TensorFlow.js (model.save, tensorflowjs_converter) beside its weights.',
  ),
  module: path().describe(
    'A JavaScript module whose default export is a tf.LayersModel of TensorFlow.js, or a function ({tf}) => model. Its random weights go by the seed.',
  ),
};

export type FileKey = keyof typeof fileKeys;

/** Where a model that exists already comes from. */
export interface ModelSource {
  readonly key: FileKey;
  /** Relative to the project's folder. */
  readonly file: string;
}

/** The file that `train.model` names, if it does. */
export function sourceOf(options: Partial<Record<FileKey, string>>): ModelSource | undefined {
  const key = (Object.keys(fileKeys) as FileKey[]).find((each) => options[each] !== undefined);
  return key && { key, file: options[key]! };
}

/** How a model that exists already is trained further. */
export interface FineTuneOptions extends Partial<Record<FileKey, string>> {
  readonly freeze?: readonly string[];
  readonly train?: readonly string[];
  readonly output?: string;
  readonly head?: 'auto' | 'keep' | 'new' | { readonly after: string };
  readonly preprocess?: boolean;
}
