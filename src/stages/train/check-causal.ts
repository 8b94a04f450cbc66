import type { Dataset } from '../../data/index.js';
import { sliceColumn } from '../../data/rows.js';
import { MaasError, type Place } from '../../errors.js';
import { encodeModel } from '../../ir/onnx/save.js';
import { removeDead } from '../../ir/rewrite.js';
import { openSession } from '../../runtime/session.js';
import type { Draft } from './build-model.js';

/** More than rounding makes of one sum in another order. */
const tolerance = 1e-5;

/**
 * Makes sure that no step sees those after it, where each predicts the next: such a model would learn to look, and know
 * nothing where there is nothing to look at. Its answers for a row are compared with those for the row with another end.
 * @throws MaasError MAAS_MODEL_SHAPE
 */
export async function checkCausal(
  { model, steps }: Draft,
  { signature, splits }: Dataset,
  place: Place,
): Promise<void> {
  if (!steps || !signature.generates) return;
  const { feature, context } = signature.generates;
  const [row] = sliceColumn(splits.train.inputs[feature]!, 0, 1).data as string[];
  const characters = Array.from(row!);
  const others = signature.target.labels!.filter((label) => label !== characters.at(-1));
  const texts = [row!, [...characters.slice(0, -1), others[0]!].join('')];
  const graph = removeDead({ ...model.graph, outputs: [{ name: steps.logits }] });
  const session = await openSession(encodeModel({ ...model, graph }), { optimization: 'basic' });
  try {
    const { data } = (await session.run({ [feature]: { dtype: 'string', dims: [2, 1], data: texts } }))[
      steps.logits
    ]!;
    const values = data as Float32Array;
    const width = values.length / (2 * context);
    const before = (context - 1) * width;
    const differs = values
      .subarray(0, before)
      .findIndex((value, at) => Math.abs(value - values[context * width + at]!) > tolerance);
    if (differs < 0) return;
    throw new MaasError(
      'MAAS_MODEL_SHAPE',
      `step ${Math.floor(differs / width) + 1} of the model sees step ${context}, and each is to predict the one after it`,
      { place, hint: 'Write useCausalMask: true for attention, and read in one direction, forward.' },
    );
  } finally {
    await session.close();
  }
}
