import type { Place } from '../../../errors.js';
import { MaasError } from '../../../errors.js';
import type { Draft } from '../build-model.js';
import { shortList } from './select-weights.js';
import { weightsBefore } from '../../../ir/weights.js';

/** Completes an engine's refusal to train through a node with what to freeze, so that it need not. */
export function explainFreeze(error: unknown, { model, trainable }: Draft, place: Place): unknown {
  if (!(error instanceof MaasError) || error.code !== 'MAAS_MODEL_UNSUPPORTED') return error;
  const named = error.details?.['node'];
  const node = model.graph.nodes.find(({ name }) => name !== '' && name === named);
  if (!node) return error;
  const before = weightsBefore(model.graph, node, trainable);
  if (before.length === trainable.length) return error;
  const list = before.map((name) => JSON.stringify(name)).join(', ');
  return new MaasError(error.code, error.message, {
    place,
    hint: `Freeze the weights before it: train.model.freeze: [${before.length > 8 ? shortList(before) : list}]`,
    details: { ...error.details, freeze: before },
    cause: error,
  });
}
