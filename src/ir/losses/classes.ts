import { MaasError } from '../../errors.js';
import type { GraphBuilder } from '../builder.js';
import { numberAttribute } from '../graph.js';
import { tensor, type NumericDType } from '../tensor.js';
import type { LossInputs, LossOptions } from './loss.js';
import { cast, likePrediction, mismatch, number, producerOf, scale } from './values.js';

/** Options that the losses of classes share. */
export const classDefaults = { labelSmoothing: 0 };

export function classesOf(g: GraphBuilder, prediction: string): number {
  const size = g.shapeOf(prediction).at(-1);
  if (typeof size === 'number') return size;
  throw new MaasError('MAAS_MODEL_SHAPE', `the number of classes of ${prediction} is not known`);
}

/** True for two probabilities that add up to 1, which say the same as one: the target is then a class index. */
export function isPair(g: GraphBuilder, { prediction, target }: LossInputs): boolean {
  return g.shapeOf(prediction).at(-1) === 2 && g.rankOf(target) === g.rankOf(prediction) - 1;
}

/** Class indices → rows with a 1 at the class, in the prediction's element type. */
export function oneHot(g: GraphBuilder, { prediction, target }: LossInputs): string {
  const rank = g.rankOf(prediction);
  const columns = classesOf(g, prediction);
  if (rank < 2 || columns < 2 || g.rankOf(target) !== rank - 1 || g.dtypeOf(target).includes('float')) {
    throw mismatch(g, prediction, target, 'one probability for each class');
  }
  const numbers = Array.from({ length: columns }, (_, index) => BigInt(index));
  const classes = g.constant(tensor('int64', [columns], numbers), 'classes');
  const indices = cast(g, g.op('Unsqueeze', [target, g.int64s([-1])]), 'int64');
  return cast(g, g.op('Equal', [indices, classes]), g.dtypeOf(prediction));
}

/** Rows of probabilities as they are, class indices as rows with a 1. */
export function rowsOf(g: GraphBuilder, inputs: LossInputs): string {
  const indices = !g.dtypeOf(inputs.target).includes('float');
  return indices ? oneHot(g, inputs) : likePrediction(g, inputs.target, inputs.prediction);
}

/** `truth·(1−ε) + ε/classes` (Szegedy and others, arXiv:1512.00567, section 7). */
export function smooth(g: GraphBuilder, truth: string, classes: number, options: LossOptions): string {
  const share = Number(options['labelSmoothing'] ?? 0);
  if (share === 0) return truth;
  return g.op('Add', [scale(g, truth, 1 - share), number(g, share / classes, truth)]);
}

/** Each class's column times its weight. As in PyTorch the sum is still divided by rows, so that batches add up. */
export function weigh(g: GraphBuilder, truth: string, weights: readonly number[] | undefined): string {
  if (!weights) return truth;
  return g.op('Mul', [
    truth,
    g.constant(tensor(g.dtypeOf(truth) as NumericDType, [weights.length], weights), 'weights'),
  ]);
}

/** What a softmax or sigmoid was taken of, where the prediction is one. */
export function logitsOf(g: GraphBuilder, prediction: string, op: 'Softmax' | 'Sigmoid'): string | undefined {
  const producer = producerOf(g, prediction);
  if (producer?.op !== op) return undefined;
  if (op === 'Sigmoid') return producer.inputs[0]!;
  const axis = numberAttribute(producer, 'axis', -1);
  return axis === -1 || axis === g.rankOf(prediction) - 1 ? producer.inputs[0]! : undefined;
}

/** Logarithms of probabilities [.., C], straight from the logits where there are some. */
export function logOfRows(g: GraphBuilder, prediction: string): string {
  const logits = logitsOf(g, prediction, 'Softmax');
  return logits === undefined ? safeLog(g, prediction) : g.op('LogSoftmax', [logits]);
}

/** Logarithm of a probability, kept away from log 0 as Keras does (1e-7). */
export function safeLog(g: GraphBuilder, probability: string): string {
  const clipped = g.op('Clip', [probability, number(g, 1e-7, probability), number(g, 1, probability)]);
  return g.op('Log', [clipped]);
}
