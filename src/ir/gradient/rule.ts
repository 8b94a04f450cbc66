import { MaasError } from '../../errors.js';
import type { GraphBuilder } from '../builder.js';
import { attr, outerReadsOf, subgraphsOf, type Attribute, type Dim, type Node } from '../graph.js';
import { Site } from '../shapes/rule.js';
import { dtypes, tensor, type DType, type NumericDType } from '../tensor.js';

/** Emits the gradient of one input; it may still have the shape that the input was broadcast to. */
export type Derivative = () => string;

/**
 * For each input of the node, and then each value that its subgraphs read from outside, its derivative, called only when it is
 * wanted; undefined where no gradient flows.
 */
export type GradientRule = (site: GradientSite) => readonly (Derivative | undefined)[];
export type GradientRules = Readonly<Record<string, GradientRule>>;

/** Emits what a node computes with other operators. Returns its outputs; '' for those that nothing should read. */
export type Expansion = (site: GradientSite) => readonly string[];
export type Expansions = Readonly<Record<string, Expansion>>;

/** A value and its gradient. */
export type Seed = readonly [value: string, gradient: string];

/** What rules of nodes with subgraphs need of the walk back. */
export interface Walk {
  /** What the node reads that changes with what is wanted. */
  readonly moving: ReadonlySet<string>;
  /** Emits the gradients of `wanted` into `g`, from those of some values in it; those that it does not find are left out. */
  pullBack(g: GraphBuilder, seeds: readonly Seed[], wanted: Iterable<string>): Map<string, string>;
}

/** A node on the way back: its inputs `x`, its outputs `y`, the gradients `dys` of the outputs, and a pen. */
export class GradientSite extends Site {
  readonly x: readonly string[];
  readonly y: readonly string[];

  constructor(
    readonly g: GraphBuilder,
    node: Node,
    readonly dys: readonly (string | undefined)[],
    readonly walk: Walk,
  ) {
    super(
      node,
      (name) => g.typeOf(name),
      (name) => g.constantOf(name),
    );
    this.x = node.inputs;
    this.y = node.outputs;
  }

  /** Gradient of the first output. */
  get dy(): string {
    return this.dys[0]!;
  }

  /** Values that its subgraphs read from outside. */
  get captured(): string[] {
    return capturedBy(this.node);
  }

  /** A constant of the first input's element type. */
  number(value: number): string {
    return this.g.scalar(value, this.dtypeOf(this.x[0]!));
  }

  dtypeOf(name: string): NumericDType {
    const dtype = this.g.typeOf(name)?.dtype;
    return dtype === undefined ? this.refuse(`the type of ${name} is not known`) : (dtype as NumericDType);
  }

  /** Sizes of an input. */
  dims(index: number): readonly Dim[] {
    return this.shape(index) ?? this.refuse(`the shape of its input ${this.x[index]} is not known`);
  }

  refuse(why: string): never {
    throw new MaasError('MAAS_MODEL_UNSUPPORTED', `cannot train through ${describe(this.node)}: ${why}`);
  }

  add(a: string, b: string): string {
    return this.g.op('Add', [a, b]);
  }
  sub(a: string, b: string): string {
    return this.g.op('Sub', [a, b]);
  }
  mul(a: string, b: string): string {
    return this.g.op('Mul', [a, b]);
  }
  div(a: string, b: string): string {
    return this.g.op('Div', [a, b]);
  }
  neg(a: string): string {
    return this.g.op('Neg', [a]);
  }
  /** 1 where `condition` holds, else 0, in the element type of the first input. */
  mask(condition: string): string {
    return cast(this.g, condition, this.dtypeOf(this.x[0]!));
  }
  /** `value` where `condition` holds, else 0: unlike a product with a mask it keeps NaN and infinity out. */
  where(condition: string, value: string): string {
    return this.g.op('Where', [condition, value, this.g.scalar(0, this.dtypeOf(value))]);
  }
  sum(value: string, axes: readonly number[], keepdims = true): string {
    return sum(this.g, value, axes, keepdims);
  }
}

export function capturedBy(node: Node): string[] {
  return [...new Set(subgraphsOf(node).flatMap(outerReadsOf))];
}

export function describe(node: Node): string {
  const op = node.domain === '' || node.domain === 'ai.onnx' ? node.op : `${node.domain}:${node.op}`;
  return `${op} (node ${node.name || node.outputs.find(Boolean)})`;
}

export function dtypeNumber(dtype: DType): Attribute {
  return attr.int(dtypes.indexOf(dtype) + 1);
}

export function cast(g: GraphBuilder, value: string, dtype: DType): string {
  return g.op('Cast', [value], { to: dtypeNumber(dtype) });
}

export function sum(g: GraphBuilder, value: string, axes: readonly number[], keepdims = true): string {
  return g.op('ReduceSum', [value, g.int64s(axes)], { keepdims: attr.int(keepdims ? 1 : 0) });
}

/** Number of elements of `value`, as a scalar of its own type. */
export function size(g: GraphBuilder, value: string): string {
  return cast(g, g.op('Size', [value]), g.dtypeOf(value));
}

/** Every axis but that of the channels, the second. */
export function otherAxes(rank: number): number[] {
  return [...Array(rank).keys()].filter((axis) => axis !== 1);
}

/** Zeros in the shape and element type of `name`. */
export function zerosLike(g: GraphBuilder, name: string): string {
  const zero = tensor(g.dtypeOf(name) as NumericDType, [1], [0]);
  return g.op('ConstantOfShape', [g.op('Shape', [name])], { value: attr.tensor(zero) });
}

/** `value` reshaped to the shape of `name`. */
export function reshapeLike(g: GraphBuilder, value: string, name: string): string {
  const shape = g.typeOf(name)?.shape;
  const names = shape?.filter((dim) => typeof dim === 'string').length;
  if (shape && (names === 0 || (names === 1 && !shape.includes(0)))) {
    return g.op('Reshape', [value, g.int64s(shape.map((dim) => (typeof dim === 'number' ? dim : -1)))]);
  }
  return g.op('Reshape', [value, g.op('Shape', [name])]);
}
