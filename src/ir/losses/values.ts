import { MaasError } from '../../errors.js';
import type { GraphBuilder } from '../builder.js';
import { attr, type Dim, type Node } from '../graph.js';
import { dtypes, type DType, type NumericDType } from '../tensor.js';

/** The target in the prediction's element type and shape: [N], [N, 1] and so on are the same values. */
export function likePrediction(g: GraphBuilder, target: string, prediction: string): string {
  const [want, have] = [g.shapeOf(prediction), g.shapeOf(target)];
  const real = cast(g, target, g.dtypeOf(prediction));
  if (want.length === have.length && want.every((dim, axis) => axis === 0 || dim === have[axis])) return real;
  const inner = (shape: readonly Dim[]) => shape.slice(1).filter((dim) => dim !== 1);
  if (String(inner(want)) !== String(inner(have)))
    throw mismatch(g, prediction, target, 'one value for each target');
  return g.op('Reshape', [real, g.op('Shape', [prediction])]);
}

export function mismatch(g: GraphBuilder, prediction: string, target: string, needs: string): MaasError {
  const show = (name: string) => `[${g.shapeOf(name).join(', ')}]`;
  return new MaasError(
    'MAAS_MODEL_SHAPE',
    `the loss needs ${needs}: the model predicts ${show(prediction)}, the data has ${show(target)}`,
    {
      hint: 'Give the last layer as many units as the target has classes or values, or choose another loss.',
    },
  );
}

/** Values that are predicted for a row. */
export function valuesPerRow(g: GraphBuilder, prediction: string): number {
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
export function producerOf(g: GraphBuilder, name: string): Node | undefined {
  const node = g.nodes.find(({ outputs }) => outputs.includes(name));
  return node?.op === 'Identity' ? (producerOf(g, node.inputs[0]!) ?? node) : node;
}

/** A rank-0 constant of the element type of `like`. */
export function number(g: GraphBuilder, value: number, like: string): string {
  return g.scalar(value, g.dtypeOf(like) as NumericDType);
}

export function mean(g: GraphBuilder, value: string): string {
  return g.op('ReduceMean', [value], { keepdims: attr.int(0) });
}

/** The sum along one axis, which is gone then. */
export function sumOver(g: GraphBuilder, value: string, axis: number): string {
  return g.op('ReduceSum', [value, g.int64s([axis])], { keepdims: attr.int(0) });
}

/**
 * The length of each vector, at least 1e-8 as in PyTorch: nothing is divided by 0, nor is the slope of a root infinite.
 * ReduceL2 is not the same in all operator sets that are trained.
 */
export function lengths(g: GraphBuilder, vectors: string): string {
  const square = sumOver(g, g.op('Mul', [vectors, vectors]), -1);
  return g.op('Sqrt', [g.op('Clip', [square, number(g, 1e-16, vectors)])]);
}

export function scale(g: GraphBuilder, value: string, factor: number): string {
  return factor === 1 ? value : g.op('Mul', [value, number(g, factor, value)]);
}

/** 1 − value */
export function rest(g: GraphBuilder, value: string): string {
  return g.op('Sub', [number(g, 1, value), value]);
}

export function cast(g: GraphBuilder, value: string, dtype: DType): string {
  if (g.dtypeOf(value) === dtype) return value;
  return g.op('Cast', [value], { to: attr.int(dtypes.indexOf(dtype) + 1) });
}
