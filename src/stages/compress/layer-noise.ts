import { MaasError } from '../../errors.js';
import { signalToNoise } from '../../evaluate/metrics.js';
import { consumersOf, type Model } from '../../ir/graph.js';
import { inferTypes } from '../../ir/shapes.js';
import { openModel } from '../../runtime/open-model.js';
import type { Feeds } from '../../runtime/session.js';
import { labelOf } from './passes/dense-layer.js';
import { tap } from './tap.js';

export interface LayerNoise {
  readonly node: string;
  /** Of the layer's output before and after, in dB; NaN when it is no number any more. */
  readonly signalToNoise: number;
}

/**
 * How far the outputs of layers are from what they were, worst first. What an earlier layer does wrong shows in the
 * later ones too: a fault lies where the figure falls.
 * @param layers Names of nodes; those whose output is gone or not float32 are left out.
 */
export async function measureLayerNoise(
  before: Model,
  after: Model,
  layers: readonly string[],
  feeds: Feeds,
): Promise<LayerNoise[]> {
  const [typesBefore, typesAfter] = [inferTypes(before), inferTypes(after)];
  const written = new Set(after.graph.nodes.flatMap((node) => node.outputs));
  const outputs = new Map<string, string>();
  const consumers = consumersOf(before.graph);
  /** The layer's output, or what the activation behind it gives where both became one. */
  const resultOf = (name: string): string => {
    const [next, ...others] = consumers.get(name) ?? [];
    return written.has(name) || !next || others.length > 0 ? name : resultOf(next.outputs[0] ?? '');
  };
  for (const node of before.graph.nodes) {
    const output = resultOf(node.outputs[0] ?? '');
    const isFloat = [typesBefore, typesAfter].every((types) => types.get(output)?.dtype === 'float32');
    if (isFloat && written.has(output) && layers.includes(labelOf(node))) outputs.set(labelOf(node), output);
  }
  const names = [...outputs.values()];
  if (names.length === 0) return [];
  const run = async (model: Model) => {
    const session = await openModel(tap(model, names));
    try {
      return await session.run(feeds, names);
    } finally {
      await session.close();
    }
  };
  const [reference, other] = [await run(before), await run(after)];
  const noises = [...outputs].map(([node, name]) => {
    const values = [reference, other].map((results) => results[name]!.data as Float32Array);
    return { node, signalToNoise: signalToNoise(values[0]!, values[1]!) };
  });
  const rank = ({ signalToNoise: noise }: LayerNoise): number => (Number.isNaN(noise) ? -Infinity : noise);
  return noises.sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
}

/** `measureLayerNoise` for a message: what cannot be measured is left out, for it must not hide the message. */
export async function tryLayerNoise(
  ...parameters: Parameters<typeof measureLayerNoise>
): Promise<LayerNoise[]> {
  try {
    return await measureLayerNoise(...parameters);
  } catch (error) {
    if (error instanceof MaasError) return [];
    throw error;
  }
}
