import type { Model } from '../../ir/graph.js';

/** The model with inner float32 values as outputs too. */
export function tap(model: Model, names: Iterable<string>): Model {
  const { graph } = model;
  const known = new Set([...graph.inputs, ...graph.outputs].map(({ name }) => name));
  const taps = [...new Set(names)].filter((name) => !known.has(name));
  const outputs = taps.map((name) => ({
    name,
    dtype: 'float32' as const,
    shape: graph.values.get(name)?.shape,
  }));
  return { ...model, graph: { ...graph, outputs: [...graph.outputs, ...outputs] } };
}
