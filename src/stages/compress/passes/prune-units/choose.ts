import { matchesAny } from '../../../../config/index.js';
import { labelOf } from '../dense-layer.js';
import type { Space } from './spaces.js';

export interface Scored {
  readonly space: Space;
  /** What each unit matters, as a share of all of them. */
  readonly scores: Float64Array;
  /** Units that the space had before the first step. */
  readonly before: number;
}

export interface ChooseOptions {
  readonly ratio: number;
  readonly scope: 'layer' | 'global';
  /** Another ratio, by name. */
  readonly layers: Readonly<Record<string, number>>;
  readonly multiple: number;
}

/** The units that stay, in their order. */
export function choose(
  scored: readonly Scored[],
  { ratio, scope, layers, multiple }: ChooseOptions,
): { readonly space: Space; readonly kept: number[] }[] {
  const stated = (space: Space): number | undefined =>
    Object.entries(layers).find(([name]) =>
      space.producers.some(({ node }) => matchesAny(labelOf(node), [name])),
    )?.[1];
  const threshold =
    scope === 'global'
      ? findThreshold(
          scored.filter(({ space }) => stated(space) === undefined),
          ratio,
        )
      : undefined;
  return scored.map(({ space, scores, before }) => {
    const own = stated(space);
    const wanted =
      own === undefined && threshold !== undefined
        ? scores.filter((score) => score * space.size > threshold).length
        : Math.round(before * (1 - (own ?? ratio)));
    const block = space.kind === 'heads' || space.size <= multiple ? 1 : multiple;
    const count = Math.max(1, Math.min(space.size, Math.ceil(wanted / block) * block));
    const order = Array.from(scores, (_, unit) => unit).sort((a, b) => scores[b]! - scores[a]! || a - b);
    return { space, kept: order.slice(0, count).sort((a, b) => a - b) };
  });
}

/** The score, in shares of a layer's mean, that as many units of all layers lie below as are to go. */
function findThreshold(scored: readonly Scored[], ratio: number): number {
  const all = scored.flatMap(({ space, scores }) => Array.from(scores, (score) => score * space.size));
  const left = scored.reduce((sum, { before }) => sum + before * (1 - ratio), 0);
  const going = Math.max(0, all.length - Math.round(left));
  return going === 0 ? -1 : all.sort((a, b) => a - b)[going - 1]!;
}
