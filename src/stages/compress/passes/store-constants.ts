import { z } from 'zod';
import { matchesAny } from '../../../config/index.js';
import type { Graph, Model, Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import { freshNames, liftConstants } from '../../../ir/rewrite.js';
import { sizeOf, valuesOf, type Tensor } from '../../../ir/tensor.js';
import { definePass, type Pass } from '../../../plugin/api.js';
import { constantAt } from './dense-layer.js';

/** A constant in fewer bytes, and the nodes that make it what it was when the model is loaded. */
export interface Stored {
  readonly note: string;
  readonly initializers: readonly (readonly [string, Tensor])[];
  readonly nodes: readonly Node[];
}

/** @returns the reason where the constant stays as it is. */
export type StoreConstant = (
  name: string,
  constant: Tensor,
  values: Float32Array,
  fresh: (stem: string) => string,
) => Stored | string;

/** A pass that stores float32 constants in another way; what is computed with them stays as it was. */
export function defineStorage(name: string, summary: string, version: number, store: StoreConstant): Pass {
  const options = z.strictObject({
    minElements: z.int().min(1).default(1024).describe('Smaller constants stay float32.'),
    exclude: z
      .array(z.string().min(1))
      .default([])
      .describe('Names of constants to leave as they are; * stands for any text.'),
  });
  return definePass<z.output<typeof options>>({
    name,
    summary,
    options,
    version,
    async run(given, { minElements, exclude }) {
      const model: Model = { ...given, graph: liftConstants(given.graph) };
      const { graph, irVersion } = model;
      const fresh = freshNames(graph);
      const initializers = new Map<string, Tensor>();
      const nodes: Node[] = [];
      const applied: { node: string; note: string }[] = [];
      const skipped: { node: string; reason: string }[] = [];
      const fixed = new Set([...graph.inputs, ...graph.outputs].map((value) => value.name));
      for (const [constantName, constant] of graph.initializers) {
        initializers.set(constantName, constant);
        const isWanted = constant.dtype === 'float32' && sizeOf(constant.dims) >= minElements;
        if (!isWanted || !constantAt(constantName, graph, irVersion) || fixed.has(constantName)) continue;
        const stored = matchesAny(constantName, exclude)
          ? 'excluded'
          : store(constantName, constant, valuesOf(await loadTensor(constant)) as Float32Array, fresh);
        if (typeof stored === 'string') {
          skipped.push({ node: constantName, reason: stored });
          continue;
        }
        initializers.delete(constantName);
        for (const [part, value] of stored.initializers) initializers.set(part, value);
        nodes.push(...stored.nodes);
        applied.push({ node: constantName, note: stored.note });
      }
      if (nodes.length === 0) return { model: given, report: { changed: false, skipped } };
      const after: Graph = { ...graph, initializers, nodes: [...nodes, ...graph.nodes] };
      return { model: { ...model, graph: after }, report: { changed: true, applied, skipped } };
    },
  });
}
