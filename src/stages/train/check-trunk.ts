import type { ConfigPath } from '../../config/index.js';
import type { Named } from '../../config/named.js';
import type { Signature } from '../../data/index.js';
import { MaasError, type Place } from '../../errors.js';
import { GraphBuilder } from '../../ir/builder.js';
import { losses } from '../../ir/losses.js';
import { embeddingOf } from '../../ir/losses/triplet.js';
import { removeDead } from '../../ir/rewrite.js';
import type { Draft } from './build-model.js';

/**
 * Makes sure that a loss of embeddings has something to train: weights before the last dense layer.
 * @throws MaasError MAAS_MODEL_SHAPE
 */
export function checkTrunk(
  { model, prediction, steps, trainable }: Draft,
  loss: Named | undefined,
  { task, others }: Signature,
  place: (path: ConfigPath) => Place,
): void {
  // Another kind of target, or several, are refused for themselves.
  if (!loss || losses[loss.name]?.embeds !== true || task !== 'classification' || others) return;
  const other = 'Choose sparseCategoricalCrossentropy';
  const refuse = (why: string, hint = `${other}.`): MaasError =>
    new MaasError('MAAS_MODEL_SHAPE', `train.loss ${loss.name}: ${why}`, {
      place: place(['train', 'loss']),
      hint,
    });
  if (steps) throw refuse('the model predicts a token at each step, not a label for each row');
  const embedding = embeddingOf(new GraphBuilder(model.graph), prediction);
  if (embedding === undefined) throw refuse('the logits of the model do not come from a dense layer');
  const { initializers } = removeDead({ ...model.graph, outputs: [{ name: embedding }] });
  if (trainable.some((name) => initializers.has(name))) return;
  throw refuse(
    'no weight before the last dense layer is trained, and it moves nothing else',
    `${other}, put a layer with weights before the last, or freeze fewer.`,
  );
}
