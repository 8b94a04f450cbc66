import { attr, type Graph, type Model, type Value } from '../../../../ir/graph.js';
import { freshNames } from '../../../../ir/rewrite.js';
import type { CompiledStep } from './compile-step.js';

/** Many steps in one graph. Its inputs and outputs go by other names than those of the step. */
export interface StackedSteps {
  readonly model: Model;
  /** Names of the step's inputs → names here. What is no weight or slot has a leading axis of steps here. */
  readonly inputs: ReadonlyMap<string, string>;
  /** Names of the step's outputs → names here: the last weights and slots, and all losses [steps]. */
  readonly outputs: ReadonlyMap<string, string>;
}

/**
 * Makes a step the body of a Scan, so that one run makes as many steps as batches are fed: the weights go between
 * onnxruntime and JavaScript once for all of them. The steps are the same, so are the weights that they end in.
 */
export function stackSteps({ model, carried, loss }: CompiledStep): StackedSteps {
  const step = model.graph;
  // Names in a body must not be those of the graph around it.
  const fresh = freshNames(step);
  const rename = (names: readonly string[]) => new Map(names.map((name) => [name, fresh(`stacked.${name}`)]));
  const weights = carried.map(({ input }) => input);
  const kept = new Set(weights);
  const batch = step.inputs.map(({ name }) => name).filter((name) => !kept.has(name));
  const inputs = rename([...weights, ...batch]);
  const written = [...carried.map(({ output }) => output), loss];
  const outputs = rename(written);

  const named = new Map(step.inputs.map((value) => [value.name, value]));
  const body: Graph = {
    ...step,
    name: 'step',
    inputs: [...weights, ...batch].map((name) => named.get(name)!),
    outputs: written.map((name) => step.outputs.find((value) => value.name === name)!),
  };
  const stacked = (value: Value): Value => ({ ...value, shape: ['steps', ...value.shape!] });
  const graph: Graph = {
    name: 'steps',
    inputs: body.inputs.map((value) => ({
      ...(kept.has(value.name) ? value : stacked(value)),
      name: inputs.get(value.name)!,
    })),
    outputs: body.outputs.map((value) => ({
      ...(value.name === loss ? stacked(value) : value),
      name: outputs.get(value.name)!,
    })),
    initializers: new Map(),
    values: new Map(),
    nodes: [
      {
        op: 'Scan',
        domain: '',
        name: fresh('steps'),
        inputs: [...inputs.values()],
        outputs: [...outputs.values()],
        attributes: { body: attr.graph(body), num_scan_inputs: attr.int(batch.length) },
      },
    ],
  };
  return { model: { ...model, graph }, inputs, outputs };
}
