import { MaasError } from '../../errors.js';
import type { GraphBuilder } from '../builder.js';
import { attr, numberAttribute, type Node } from '../graph.js';
import { logitsOf } from './classes.js';
import { sparseCategoricalCrossentropy } from './cross-entropy.js';
import type { Loss, LossInputs } from './loss.js';
import { cast, lengths, mismatch, number, producerOf, rest, scale, sumOver } from './values.js';

/**
 * Triplet loss with batch-hard mining (Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person
 * Re-Identification", arXiv:1703.07737, equation 5): each row of the batch against the farthest of its label and the
 * nearest of another one, max(0, margin + d(row, farthest) − d(row, nearest)) with Euclidean distances, the mean over the
 * rows that have both; 0 where there are none. It moves what comes before the embedding, which is the input [N, units] of
 * the last dense layer, before dropout. That layer learns the labels by cross-entropy, which moves nothing before it. What
 * is reported is the sum of both; that of more rows at once is larger, for there are harder ones among them.
 */
export const triplet: Loss = {
  summary:
    'brings rows of a label together, and others a margin away, in what the last dense layer is given: its hardest rows of each batch (Hermans and others, arXiv:1703.07737); that layer itself learns by cross-entropy',
  task: 'classification',
  defaults: { margin: 1 },
  weighsClasses: false,
  embeds: true,
  emit(g, inputs, options = {}) {
    const head = headOf(g, inputs.prediction);
    if (!head) throw noEmbedding(inputs.prediction);
    const embedding = head.inputs[0]!;
    g.replace(head, () => {
      g.add({ ...head, inputs: [g.stopGradient(embedding), ...head.inputs.slice(1)] });
    });
    const margin = Number(options['margin'] ?? triplet.defaults['margin']);
    return g.op('Add', [
      mined(g, beforeDropout(g, embedding), inputs, margin),
      sparseCategoricalCrossentropy.emit(g, inputs),
    ]);
  },
};

/** What goes into the last dense layer [N, units]; undefined where something else gives the logits. */
export function embeddingOf(g: GraphBuilder, prediction: string): string | undefined {
  return headOf(g, prediction)?.inputs[0];
}

function headOf(g: GraphBuilder, prediction: string): Node | undefined {
  const head = productBehind(g, logitsOf(g, prediction, 'Softmax') ?? prediction);
  if (!head || numberAttribute(head, 'transA', 0) === 1) return undefined;
  return g.typeOf(head.inputs[0]!)?.shape?.length === 2 ? head : undefined;
}

/** The product of rows with a matrix that gives a value, seen through a bias. */
function productBehind(g: GraphBuilder, name: string): Node | undefined {
  const node = producerOf(g, name);
  if (node?.op !== 'Add') return node?.op === 'MatMul' || node?.op === 'Gemm' ? node : undefined;
  for (const side of node.inputs) {
    const found = productBehind(g, side);
    if (found) return found;
  }
  return undefined;
}

/**
 * What dropout was applied to, by its operator or by a mask that is fed: noise in what is compared would teach rows to be
 * all the same.
 */
function beforeDropout(g: GraphBuilder, name: string): string {
  const node = producerOf(g, name);
  if (node?.op === 'Dropout') return node.inputs[0]!;
  if (node?.op !== 'Mul') return name;
  const [value, mask] = node.inputs as [string, string];
  const isFed = producerOf(g, mask) === undefined && g.constantOf(mask) === undefined;
  return isFed && String(g.typeOf(mask)?.shape) === String(g.shapeOf(value)) ? value : name;
}

function mined(g: GraphBuilder, embedding: string, inputs: LossInputs, margin: number): string {
  const { prediction, target } = inputs;
  if (g.rankOf(target) !== 1 || g.dtypeOf(target).includes('float'))
    throw mismatch(g, prediction, target, 'one label for each row');
  const column = (axis: number) => g.op('Unsqueeze', [target, g.int64s([axis])]);
  const isSame = g.op('Equal', [column(1), column(0)]);
  // The square of the distance, without what is the same for all that a row is compared with. No gradient flows through
  // an index, so that the square table is of no account on the way back.
  const products = g.op('MatMul', [embedding, g.op('Transpose', [embedding], { perm: attr.ints([1, 0]) })]);
  const squares = sumOver(g, g.op('Mul', [embedding, embedding]), 1);
  const farness = g.op('Sub', [squares, scale(g, products, 2)]);
  const least = number(g, -3e38, embedding);
  const distanceTo = (candidates: string): string => {
    const index = g.op('ArgMax', [candidates], { axis: attr.int(1), keepdims: attr.int(0) });
    return lengths(g, g.op('Sub', [embedding, g.op('Gather', [embedding, index])]));
  };
  const farthest = distanceTo(g.op('Where', [isSame, farness, least]));
  const nearest = distanceTo(g.op('Where', [isSame, least, g.op('Neg', [farness])]));
  const gap = g.op('Add', [g.op('Sub', [farthest, nearest]), number(g, margin, embedding)]);

  const same = cast(g, isSame, g.dtypeOf(embedding));
  const hasBoth = g.op('And', [
    g.op('Greater', [sumOver(g, same, 1), number(g, 1, embedding)]),
    g.op('Greater', [sumOver(g, rest(g, same), 1), number(g, 0, embedding)]),
  ]);
  const counts = cast(g, hasBoth, g.dtypeOf(embedding));
  const total = sumOver(g, g.op('Mul', [g.op('Relu', [gap]), counts]), 0);
  return g.op('Div', [total, g.op('Max', [sumOver(g, counts, 0), number(g, 1, embedding)])]);
}

function noEmbedding(prediction: string): MaasError {
  return new MaasError(
    'MAAS_MODEL_SHAPE',
    `triplet looks at what goes into the last dense layer: none with rows [N, units] gives ${prediction}`,
    { hint: 'Choose sparseCategoricalCrossentropy, or let the model end in a dense layer.' },
  );
}
