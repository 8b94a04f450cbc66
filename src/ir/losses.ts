import { MaasError } from '../errors.js';
import type { GraphBuilder } from './builder.js';
import { attr, numberAttribute, type Dim, type Node } from './graph.js';
import { dtypes, tensor, type DType, type NumericDType } from './tensor.js';

export interface LossInputs {
  /** Class probabilities [N, C], or predicted values [N] or [N, D]. */
  readonly prediction: string;
  /** Class indices (integers, [N]), or values in the prediction's shape. */
  readonly target: string;
}

export interface Loss {
  readonly summary: string;
  readonly task: 'classification' | 'regression';
  /**
   * Emits the loss and returns its name: a scalar of the prediction's element type, the mean over the rows.
   * @throws MaasError MAAS_MODEL_SHAPE when prediction and target do not fit together.
   */
  emit(g: GraphBuilder, inputs: LossInputs): string;
}

/** By the names that the config uses (those of Keras). */
export const losses: Readonly<Record<string, Loss>> = {
  meanSquaredError: {
    summary: '1/(2n) Σ‖ŷ − y‖² over n rows',
    task: 'regression',
    emit(g, { prediction, target }) {
      const difference = g.op('Sub', [prediction, likePrediction(g, target, prediction)]);
      const squares = mean(g, g.op('Mul', [difference, difference]));
      return scale(g, squares, valuesPerRow(g, prediction) / 2);
    },
  },
  sparseCategoricalCrossentropy: {
    summary: 'cross-entropy of class probabilities with class indices',
    task: 'classification',
    emit: (g, { prediction, target }) => crossEntropy(g, prediction, oneHot(g, target, prediction)),
  },
  categoricalCrossentropy: {
    summary: 'cross-entropy of class probabilities with rows of probabilities, or with class indices',
    task: 'classification',
    emit(g, { prediction, target }) {
      const indices = !g.dtypeOf(target).includes('float');
      const truth = indices ? oneHot(g, target, prediction) : likePrediction(g, target, prediction);
      return crossEntropy(g, prediction, truth);
    },
  },
  binaryCrossentropy: {
    summary: 'cross-entropy of the probability of class 1 with 0 or 1',
    task: 'classification',
    emit(g, { prediction, target }) {
      // Two probabilities that add up to 1 say the same as one.
      if (g.shapeOf(prediction).at(-1) === 2 && g.rankOf(target) === g.rankOf(prediction) - 1) {
        return crossEntropy(g, prediction, oneHot(g, target, prediction));
      }
      const truth = likePrediction(g, target, prediction);
      const producer = producerOf(g, prediction);
      if (producer?.op === 'Sigmoid') {
        // −y·log σ(z) − (1−y)·log(1−σ(z)) = softplus(z) − y·z, without a logarithm of 0.
        const z = producer.inputs[0]!;
        return mean(g, g.op('Sub', [g.op('Softplus', [z]), g.op('Mul', [truth, z])]));
      }
      const dtype = g.dtypeOf(prediction) as NumericDType;
      const other = (value: string) => g.op('Sub', [g.scalar(1, dtype), value]);
      const likelihood = g.op('Add', [
        g.op('Mul', [truth, safeLog(g, prediction)]),
        g.op('Mul', [other(truth), safeLog(g, other(prediction))]),
      ]);
      return g.op('Neg', [mean(g, likelihood)]);
    },
  },
};

/** −Σ truth·log(prediction), the mean over the rows; both [.., C]. */
function crossEntropy(g: GraphBuilder, prediction: string, truth: string): string {
  const producer = producerOf(g, prediction);
  const last = g.rankOf(prediction) - 1;
  const axis = producer ? numberAttribute(producer, 'axis', -1) : 0;
  const fromLogits = producer?.op === 'Softmax' && (axis === -1 || axis === last);
  const log = fromLogits ? g.op('LogSoftmax', [producer.inputs[0]!]) : safeLog(g, prediction);
  return scale(g, mean(g, g.op('Mul', [truth, log])), -classesOf(g, prediction));
}

/** Logarithm of a probability, kept away from log 0 as Keras does (1e-7). */
function safeLog(g: GraphBuilder, probability: string): string {
  const dtype = g.dtypeOf(probability) as NumericDType;
  return g.op('Log', [g.op('Clip', [probability, g.scalar(1e-7, dtype), g.scalar(1, dtype)])]);
}

/** Class indices → rows with a 1 at the class, in the prediction's element type. */
function oneHot(g: GraphBuilder, target: string, prediction: string): string {
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

/** The target in the prediction's element type and shape: [N], [N, 1] and so on are the same values. */
function likePrediction(g: GraphBuilder, target: string, prediction: string): string {
  const [want, have] = [g.shapeOf(prediction), g.shapeOf(target)];
  const real = cast(g, target, g.dtypeOf(prediction));
  if (want.length === have.length && want.every((dim, axis) => axis === 0 || dim === have[axis])) return real;
  const inner = (shape: readonly Dim[]) => shape.slice(1).filter((dim) => dim !== 1);
  if (String(inner(want)) !== String(inner(have)))
    throw mismatch(g, prediction, target, 'one value for each target');
  return g.op('Reshape', [real, g.op('Shape', [prediction])]);
}

function mismatch(g: GraphBuilder, prediction: string, target: string, needs: string): MaasError {
  const show = (name: string) => `[${g.shapeOf(name).join(', ')}]`;
  return new MaasError(
    'MAAS_MODEL_SHAPE',
    `the loss needs ${needs}: the model predicts ${show(prediction)}, the data has ${show(target)}`,
    {
      hint: 'Give the last layer as many units as the target has classes or values, or choose another loss.',
    },
  );
}

function classesOf(g: GraphBuilder, prediction: string): number {
  const size = g.shapeOf(prediction).at(-1);
  if (typeof size === 'number') return size;
  throw new MaasError('MAAS_MODEL_SHAPE', `the number of classes of ${prediction} is not known`);
}

function valuesPerRow(g: GraphBuilder, prediction: string): number {
  return g
    .shapeOf(prediction)
    .slice(1)
    .reduce((product: number, size) => {
      if (typeof size === 'number') return product * size;
      throw new MaasError(
        'MAAS_MODEL_SHAPE',
        `the number of values that ${prediction} predicts is not known`,
      );
    }, 1);
}

/** The node that computed a value, seen through Identity. */
function producerOf(g: GraphBuilder, name: string): Node | undefined {
  const node = g.nodes.find(({ outputs }) => outputs.includes(name));
  return node?.op === 'Identity' ? (producerOf(g, node.inputs[0]!) ?? node) : node;
}

function mean(g: GraphBuilder, value: string): string {
  return g.op('ReduceMean', [value], { keepdims: attr.int(0) });
}

function scale(g: GraphBuilder, value: string, factor: number): string {
  return factor === 1 ? value : g.op('Mul', [value, g.scalar(factor, g.dtypeOf(value) as NumericDType)]);
}

function cast(g: GraphBuilder, value: string, dtype: DType): string {
  if (g.dtypeOf(value) === dtype) return value;
  return g.op('Cast', [value], { to: attr.int(dtypes.indexOf(dtype) + 1) });
}
