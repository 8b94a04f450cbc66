import type { GraphBuilder } from '../../../../ir/builder.js';
import { attr } from '../../../../ir/graph.js';
import type { NumericDType } from '../../../../ir/tensor.js';

const toDouble = { to: attr.int(11) };
const toInt64 = { to: attr.int(7) };

/**
 * Emits the share of rows (float64) whose most probable class is the target's.
 * @param prediction Probabilities of the classes [N, C], or of class 1 [N] or [N, 1].
 * @param target Class indices [N].
 */
export function emitAccuracy(g: GraphBuilder, prediction: string, target: string): string {
  const shape = g.shapeOf(prediction);
  const single = shape.length === 1 || shape.at(-1) === 1;
  const half = () => g.op('Greater', [prediction, g.scalar(0.5, g.dtypeOf(prediction) as NumericDType)]);
  const chosen = single
    ? g.op('Reshape', [g.op('Cast', [half()], toInt64), g.op('Shape', [target])])
    : g.op('ArgMax', [prediction], { axis: attr.int(-1), keepdims: attr.int(0) });
  const right = g.op('Equal', [chosen, g.op('Cast', [target], toInt64)]);
  return g.op('ReduceMean', [g.op('Cast', [right], toDouble)], { keepdims: attr.int(0) });
}
