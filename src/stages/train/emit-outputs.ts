import { countPresent, type Head } from '../../data/index.js';
import type { GraphBuilder } from '../../ir/builder.js';
import { attr } from '../../ir/graph.js';
import type { TrainJob } from '../../plugin/api.js';

/**
 * Turns what the layers give, logits [N, classes] or amounts [N, 1], into the outputs of a target.
 * @param amounts Of amounts that the layers give in standard deviations from a mean.
 * @returns the value that the loss looks at.
 */
export function emitOutputs(g: GraphBuilder, x: string, head: Head, amounts?: TrainJob['amounts']): string {
  if (head.label !== undefined) return emitLabels(g, x, head);
  return emitAmount(g, amounts ? emitScaling(g, x, amounts) : x, head);
}

/** The mean squared error of each row [N, width] that came back → [N, 1]. */
export function emitErrors(g: GraphBuilder, found: string, row: string): string {
  const difference = g.op('Sub', [found, row]);
  const squares = g.op('Mul', [difference, difference]);
  return g.op('ReduceMean', [squares, g.int64s([1])], { keepdims: attr.int(1) }, { name: 'error' });
}

/** Deviations → amounts. */
function emitScaling(
  g: GraphBuilder,
  x: string,
  { mean, deviation }: NonNullable<TrainJob['amounts']>,
): string {
  const scaled = g.op('Mul', [x, g.scalar(deviation)], {}, { name: 'scaled' });
  return g.op('Add', [scaled, g.scalar(mean)], {}, { name: 'amounts' });
}

/** What the steps say [N, steps, C] → what the last of them that has an id says [N, C]. */
export function emitLastStep(g: GraphBuilder, { logits, ids }: NonNullable<TrainJob['steps']>): string {
  const last = g.op('Sub', [countPresent(g, ids), g.scalar(1, 'int64')]);
  // An empty text has no step: what comes after nothing is what comes after a token that nobody knows.
  const at = g.op('Max', [last, g.scalar(0, 'int64')]);
  return g.op('GatherND', [logits, at], { batch_dims: attr.int(1) }, { name: 'last_step' });
}

/** Logits [N, C] → probabilities [N, C] and label [N]. */
function emitLabels(
  g: GraphBuilder,
  logits: string,
  { labels = [], label, values: probabilities }: Head,
): string {
  const node = (op: string, inputs: string[], output: string) => ({
    op,
    domain: '',
    name: output,
    inputs,
    outputs: [output],
  });
  g.add({ ...node('Softmax', [logits], probabilities), attributes: { axis: attr.int(-1) } });
  const index = g.op('ArgMax', [probabilities], { axis: attr.int(-1), keepdims: attr.int(0) });
  g.add({
    ...node('LabelEncoder', [index], label!),
    domain: 'ai.onnx.ml',
    attributes: { keys_int64s: attr.ints(labels.map((_, at) => at)), values_strings: attr.strings(labels) },
  });
  g.output(label!);
  g.output(probabilities);
  return probabilities;
}

/** Amounts [N, 1] → prediction [N]. */
function emitAmount(g: GraphBuilder, amounts: string, { values }: Head): string {
  g.add({
    op: 'Squeeze',
    domain: '',
    name: values,
    inputs: [amounts, g.int64s([1])],
    outputs: [values],
    attributes: {},
  });
  g.output(values);
  return amounts;
}
