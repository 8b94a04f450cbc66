import type { Node, ValueType } from './graph.js';
import type { Tensor } from './tensor.js';

export type TypeLookup = (name: string) => ValueType | undefined;
export type ConstantLookup = (name: string) => Tensor | undefined;

/** Types of a node's outputs, in order; undefined where nothing can be said. Never throws on unknown operators. */
export function inferNode(
  _node: Node,
  _typeOf: TypeLookup,
  _constantOf: ConstantLookup,
): (ValueType | undefined)[] {
  return [];
}
