import { z } from 'zod';
import { attr, type Graph, type Model, type Node } from '../../../ir/graph.js';
import { fromHalf, toHalves } from '../../../ir/half.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import { freshNames, liftConstants } from '../../../ir/rewrite.js';
import { dtypes, sizeOf, tensor, valuesOf, type Tensor } from '../../../ir/tensor.js';
import { signalToNoise } from '../../../evaluate/metrics.js';
import { definePass } from '../../../plugin/api.js';
import { constantAt } from './dense-layer.js';
import { matchesAny } from '../../../config/index.js';

const options = z.strictObject({
  minElements: z.int().min(1).default(1024).describe('Smaller constants stay float32.'),
  exclude: z
    .array(z.string().min(1))
    .default([])
    .describe('Names of constants to leave as they are; * stands for any text.'),
});

const floatCode = dtypes.indexOf('float32') + 1;

/**
 * What: stores float32 constants as float16, and turns them back when the model is loaded.
 * Why: half the file; the computation, and its speed, stay as they were.
 * Example: MatMul(x, W) → MatMul(x, Cast(W₁₆)).
 */
export const storeHalvesPass = definePass<z.output<typeof options>>({
  name: 'storeHalves',
  summary: 'Store float32 constants as float16; compute as before.',
  options,
  version: 1,
  async run(given, { minElements, exclude }) {
    const model: Model = { ...given, graph: liftConstants(given.graph) };
    const { graph, irVersion } = model;
    const fresh = freshNames(graph);
    const initializers = new Map<string, Tensor>();
    const casts: Node[] = [];
    const applied: { node: string; note: string }[] = [];
    const skipped: { node: string; reason: string }[] = [];
    const fixed = new Set([...graph.inputs, ...graph.outputs].map(({ name }) => name));
    for (const [name, constant] of graph.initializers) {
      initializers.set(name, constant);
      const isWanted = constant.dtype === 'float32' && sizeOf(constant.dims) >= minElements;
      if (!isWanted || !constantAt(name, graph, irVersion) || fixed.has(name)) continue;
      const halved = matchesAny(name, exclude) ? 'excluded' : await halve(constant);
      if (typeof halved === 'string') {
        skipped.push({ node: name, reason: halved });
        continue;
      }
      const stored = fresh(`${name}_float16`);
      initializers.delete(name);
      initializers.set(stored, halved.constant);
      const attributes = { to: attr.int(floatCode) };
      casts.push({
        op: 'Cast',
        domain: '',
        name: fresh(`${name}_Cast`),
        inputs: [stored],
        outputs: [name],
        attributes,
      });
      applied.push({ node: name, note: `float16, keeps ${halved.decibels.toFixed(1)} dB` });
    }
    if (casts.length === 0) return { model: given, report: { changed: false, skipped } };
    const after: Graph = { ...graph, initializers, nodes: [...casts, ...graph.nodes] };
    return { model: { ...model, graph: after }, report: { changed: true, applied, skipped } };
  },
});

async function halve(constant: Tensor): Promise<{ constant: Tensor; decibels: number } | string> {
  const values = valuesOf(await loadTensor(constant)) as Float32Array;
  const halves = toHalves(values);
  const restored = Float32Array.from(halves, fromHalf);
  if (!restored.every(Number.isFinite)) return 'it holds numbers that float16 cannot';
  return { constant: tensor('float16', constant.dims, halves), decibels: signalToNoise(values, restored) };
}
