import { z } from 'zod';
import type { Graph, Model } from '../../../../ir/graph.js';
import { liftConstants, removeDead } from '../../../../ir/rewrite.js';
import { definePass, type Pass } from '../../../../plugin/api.js';

export interface Cleaned {
  readonly graph: Graph;
  readonly applied: readonly { readonly node: string; readonly note: string }[];
}

/**
 * Rewrites a graph to one that gives the same numbers: exactly, or but for the order in which they are added up.
 * @param model Its constants are initializers.
 */
export type Clean = (model: Model) => Cleaned | Promise<Cleaned>;

/** A pass without options that keeps the meaning. What it leaves without a reader is removed. */
export function defineCleanup(name: string, summary: string, clean: Clean): Pass {
  return definePass<Record<string, never>>({
    name,
    summary,
    options: z.strictObject({}),
    version: 1,
    async run(model) {
      const { graph, applied } = await clean({ ...model, graph: liftConstants(model.graph) });
      if (applied.length === 0) return { model, report: { changed: false, applied, skipped: [] } };
      return {
        model: { ...model, graph: removeDead(graph) },
        report: { changed: true, applied, skipped: [] },
      };
    },
  });
}

/** Operators that give something else each time they run. */
export const random: ReadonlySet<string> = new Set([
  'RandomNormal',
  'RandomNormalLike',
  'RandomUniform',
  'RandomUniformLike',
  'Multinomial',
  'Bernoulli',
  'Dropout',
]);
