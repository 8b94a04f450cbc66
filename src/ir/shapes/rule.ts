import type { Dim, Graph, Node, ValueType } from '../graph.js';
import { numbersAttribute } from '../graph.js';
import { isFileRange, numbersOf, sizeOf, type DType, type Tensor } from '../tensor.js';

export type TypeLookup = (name: string) => ValueType | undefined;
export type ConstantLookup = (name: string) => Tensor | undefined;
/** Types of a subgraph's outputs, given those of its inputs. */
export type InferBody = (
  body: Graph,
  inputs: readonly (ValueType | undefined)[],
) => readonly (ValueType | undefined)[];
export type Shape = readonly Dim[] | undefined;

/** Types of a node's outputs, in order. */
export type ShapeRule = (site: Site) => readonly (ValueType | undefined)[];
export type ShapeRules = Readonly<Record<string, ShapeRule>>;

/** Vectors longer than this are weights, not sizes. */
const longestSizes = 64;

/** A node together with what is known of its inputs. */
export class Site {
  constructor(
    readonly node: Node,
    readonly typeOf: TypeLookup,
    readonly constantOf: ConstantLookup,
    readonly inferBody: InferBody = () => [],
  ) {}

  has(index: number): boolean {
    return (this.node.inputs[index] ?? '') !== '';
  }

  input(index: number): ValueType | undefined {
    const name = this.node.inputs[index];
    return name ? this.typeOf(name) : undefined;
  }

  dtype(index: number): DType | undefined {
    return this.input(index)?.dtype;
  }

  shape(index: number): Shape {
    return this.input(index)?.shape;
  }

  /** Elements of an integer input of rank 0 or 1, as far as they are known. */
  elements(index: number): readonly Dim[] | undefined {
    const name = this.node.inputs[index];
    if (!name) return undefined;
    const constant = this.constantOf(name);
    return constant ? elementsOf(constant) : this.typeOf(name)?.elements;
  }

  /** Elements of an integer input, only if all of them are numbers. */
  numbers(index: number): number[] | undefined {
    return numbersOnly(this.elements(index));
  }

  /**
   * Axes from the attribute (older operator sets) or from the input (newer ones).
   * @returns undefined when the node gives none, 'unknown' when they are computed at run time.
   */
  axes(index: number): number[] | 'unknown' | undefined {
    if (this.has(index)) return this.numbers(index) ?? 'unknown';
    return numbersAttribute(this.node, 'axes');
  }

  /** Name for a size that is not known, the same each time it is asked for. */
  fresh(axis: number, output = 0): string {
    return `${this.node.outputs[output] ?? this.node.name}_d${axis}`;
  }

  freshShape(rank: number, output = 0): Dim[] {
    return Array.from({ length: rank }, (_, axis) => this.fresh(axis, output));
  }
}

/** The elements of a constant that may hold sizes. */
export function elementsOf(constant: Tensor): readonly number[] | undefined {
  const { dtype, dims, data } = constant;
  if (dtype !== 'int64' && dtype !== 'int32') return undefined;
  if (dims.length > 1 || sizeOf(dims) > longestSizes || isFileRange(data)) return undefined;
  return numbersOf(constant);
}

export function numbersOnly(elements: readonly Dim[] | undefined): number[] | undefined {
  return elements?.every((element) => typeof element === 'number') ? [...elements] : undefined;
}

export function typed(
  dtype: DType | undefined,
  shape: Shape,
  elements?: readonly Dim[],
): [ValueType | undefined] {
  return [dtype && { dtype, shape, ...(elements && { elements }) }];
}

/** Product of dims, or undefined when one of them is a name. */
export function productOf(dims: readonly Dim[]): number | undefined {
  let product = 1;
  for (const dim of dims) {
    if (typeof dim !== 'number') return undefined;
    product *= dim;
  }
  return product;
}

/** Axis counted from the front. */
export function fromFront(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/**
 * Multidirectional broadcasting. Of two names that differ, either may be 1 when the model runs: `fresh` names the result.
 * @returns undefined when the rank of one is not known.
 */
export function broadcast(shapes: readonly Shape[], fresh: (axis: number) => string): Dim[] | undefined {
  let result: Dim[] = [];
  for (const shape of shapes) {
    if (!shape) return undefined;
    const rank = Math.max(result.length, shape.length);
    const left = result;
    result = Array.from({ length: rank }, (_, axis) =>
      broadcastDim(left[axis - rank + left.length] ?? 1, shape[axis - rank + shape.length] ?? 1, () =>
        fresh(axis - rank),
      ),
    );
  }
  return result;
}

function broadcastDim(a: Dim, b: Dim, fresh: () => string): Dim {
  if (a === b || b === 1) return a;
  if (a === 1) return b;
  if (typeof a === 'number') return a;
  if (typeof b === 'number') return b;
  return fresh();
}
