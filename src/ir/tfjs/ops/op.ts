import { MaasError } from '../../../errors.js';
import { describe } from '../../gradient/rule.js';
import type { Node } from '../../graph.js';
import type { Tensor, Tf } from '../tf.js';

/** What an operator sees when it is carried out. */
export interface Call {
  readonly tf: Tf;
  readonly node: Node;
  /** Operator set of the model. */
  readonly opset: number;
  /** Whether it is derived. */
  readonly slopes: boolean;
  /** Undefined for an optional input that is left out. */
  readonly inputs: readonly (Tensor | undefined)[];
  /** Whole numbers of an input, such as sizes and axes. */
  readonly numbers: (at: number) => number[] | undefined;
}

/** Carries out an operator with TensorFlow; several outputs come as a list. */
export type Op = (call: Call) => Tensor | readonly Tensor[];

export type Ops = Readonly<Record<string, Op>>;

/** The first input, which every operator but a constant has. */
export function first({ inputs }: Call): Tensor {
  return inputs[0]!;
}

/** An axis counted from the front. */
export function fromFront(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

export function unsupported(node: Node, why: string): MaasError {
  return new MaasError('MAAS_MODEL_UNSUPPORTED', `TensorFlow.js cannot carry out ${describe(node)}: ${why}`, {
    hint: 'Train it with the onnx engine, or freeze the model up to that node.',
  });
}
