import type { GraphBuilder } from '../../../ir/builder.js';
import { attr, numbersAttribute } from '../../../ir/graph.js';
import type { Site } from './layer.js';

/** Sizes of one row of `x`: all axes but the batch. */
export function sizesOf({ g }: Pick<Site, 'g'>, x: string): number[] {
  return g.shapeOf(x).slice(1).map(Number);
}

/** `[16, 8, 8]` */
export const showSizes = (sizes: readonly number[]): string => `[${sizes.join(', ')}]`;

/** What a layer may take, by the number of axes of one row. */
const kinds = new Map([
  [1, 'vectors [features]'],
  [2, 'sequences [steps, features]'],
  [3, 'images [channels, height, width]'],
  [4, 'volumes [channels, depth, height, width]'],
]);

/**
 * Sizes of one row of `x`, which must have `rank` axes.
 * @throws MaasError MAAS_MODEL_SHAPE
 */
export function expectRank(site: Site, x: string, ...ranks: readonly number[]): number[] {
  const sizes = sizesOf(site, x);
  if (ranks.includes(sizes.length)) return sizes;
  const wanted = ranks.map((rank) => kinds.get(rank)!).join(' or ');
  throw site.misfit(
    `takes ${wanted}, what comes before it gives ${showSizes(sizes)}`,
    sizes.length === 1 && sizes[0]! > 1
      ? `Put a reshape before it, such as reshape: {targetShape: ${showSizes(exampleShape(ranks[0]!, sizes[0]!))}}.`
      : 'Put a reshape, a flatten or a globalAveragePooling2d before it.',
  );
}

/** A shape with `rank` axes for as many elements: images as square as may be. */
export function exampleShape(rank: number, elements: number): number[] {
  const side = Math.sqrt(elements);
  if (rank === 3 && Number.isInteger(side)) return [1, side, side];
  return [...Array.from({ length: rank - 1 }, () => 1), elements];
}

/** [N, steps, features] ↔ [N, features, steps]. Two in a row are none. */
export function swapSteps(g: GraphBuilder, x: string): string {
  return transpose(g, x, [0, 2, 1]);
}

/** @param perm Its own inverse. */
function transpose(g: GraphBuilder, x: string, perm: readonly number[]): string {
  const last = g.nodes.at(-1);
  const undone = last?.op === 'Transpose' && last.outputs[0] === x;
  if (undone && numbersAttribute(last, 'perm')?.join() === perm.join()) return last.inputs[0]!;
  return g.op('Transpose', [x], { perm: attr.ints(perm) });
}

/** [N, steps, …] ↔ [steps, N, …], as recurrent operators have it. Two in a row are none. */
export function swapLeading(g: GraphBuilder, x: string): string {
  return transpose(g, x, [
    1,
    0,
    ...g
      .shapeOf(x)
      .slice(2)
      .map((_, at) => at + 2),
  ]);
}

/**
 * Emits something that wants channels on the second axis: sequences, which have them on the last, are turned for it.
 * @param emit Takes [N, channels, …] and gives the like.
 */
export function withChannelsFirst(site: Site, x: string, emit: (x: string) => string): string {
  const { g } = site;
  return g.rankOf(x) === 3 ? swapSteps(g, emit(swapSteps(g, x))) : emit(x);
}
