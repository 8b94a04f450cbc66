import { MaasError } from '../../errors.js';
import type { Dim, Model, Value } from '../../ir/graph.js';
import { didYouMean } from '../../suggest.js';

/**
 * Gives sizes that a model leaves open a fixed value, by their name.
 * @throws MaasError MAAS_USAGE for a name that no input has.
 */
export function fixSizes(model: Model, sizes: Readonly<Record<string, number>>): Model {
  const wanted = Object.keys(sizes);
  if (wanted.length === 0) return model;
  const { graph } = model;
  const open = new Set(
    graph.inputs.flatMap(({ shape = [] }) => shape.filter((dim) => typeof dim === 'string')),
  );
  for (const name of wanted) {
    if (open.has(name)) continue;
    const near = didYouMean(name, [...open]);
    throw new MaasError('MAAS_USAGE', `no input of the model has an open size ${name}`, {
      hint: near ?? (open.size > 0 ? `There is ${[...open].join(', ')}.` : 'All of its sizes are fixed.'),
    });
  }
  const fix = (value: Value): Value =>
    value.shape ? { ...value, shape: value.shape.map((dim): Dim => sizes[dim] ?? dim) } : value;
  return {
    ...model,
    graph: {
      ...graph,
      inputs: graph.inputs.map(fix),
      outputs: graph.outputs.map(fix),
      values: new Map([...graph.values].map(([name, value]) => [name, fix(value)])),
    },
  };
}
