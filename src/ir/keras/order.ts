import type { GraphBuilder } from '../builder.js';
import { attr, type Dim } from '../graph.js';

/**
 * A value of Keras as a value of the graph, whose axes may lie in another order: axis i of Keras is axis `order[i]`.
 * Images so stay [N, channels, height, width] from one layer to the next, though Keras has the channels last.
 */
export interface Handle {
  readonly value: string;
  readonly order: readonly number[];
}

export const plainOrder = (rank: number): number[] => Array.from({ length: rank }, (_, axis) => axis);

/** Keras' last axis on the second. */
export const channelsFirst = (rank: number): number[] => [0, ...plainOrder(rank).slice(2), 1];

/** [steps, N, features], as recurrent operators want it. */
export const stepsFirst: readonly number[] = [1, 0, 2];

export const same = (a: readonly number[], b: readonly number[]): boolean => a.join() === b.join();

/** The value with its axes in the order wanted, turned only if they are not. */
export function turned(g: GraphBuilder, { value, order }: Handle, wanted: readonly number[]): string {
  if (same(order, wanted)) return value;
  const perm = Array<number>(order.length);
  wanted.forEach((axis, keras) => (perm[axis] = order[keras]!));
  return g.op('Transpose', [value], { perm: attr.ints(perm) });
}

export const plain = (g: GraphBuilder, handle: Handle): string =>
  turned(g, handle, plainOrder(handle.order.length));

/** Sizes in the order of Keras. */
export function dimsOf(g: GraphBuilder, { value, order }: Handle): Dim[] {
  const shape = g.shapeOf(value);
  return order.map((axis) => shape[axis]!);
}
