import { GraphBuilder } from '../../../../ir/builder.js';
import { readsOf, type Graph, type Model, type Node } from '../../../../ir/graph.js';
import { removeDead } from '../../../../ir/rewrite.js';
import { inferTypes } from '../../../../ir/shapes.js';
import type { CompiledStep } from './compile-step.js';

/** A step in two parts, with room between them for the gradients of other ranks. */
export interface SplitStep {
  /** Loss and gradients, both times `share`. */
  readonly gradients: Model;
  /** Takes the sum of the gradients of all ranks, and gives what the step hands on. */
  readonly update: Model;
  /** Input of the first part: the share of the batch's rows that this rank has. */
  readonly share: string;
  /** Output of the first part. */
  readonly loss: string;
  /** What goes from the first part to the second: input of the second → output of the first. */
  readonly handed: ReadonlyMap<string, string>;
}

/**
 * Cuts a step where its gradients are. What else of the update comes from the rows, such as the statistics of a batch, is
 * handed over in the same way: the sum of shares is the mean over all rows.
 */
export function splitStep({ model, carried, scalars, loss, slopes }: CompiledStep): SplitStep {
  const { graph } = model;
  const kept = new Set([...carried.map(({ input }) => input), ...Object.values(scalars)]);
  const rows = new Set(graph.inputs.map(({ name }) => name).filter((name) => !kept.has(name)));
  const cut = new Set(slopes.values());
  const fromRows = downstreamOf(graph.nodes, rows, cut);
  const statistics = carried.map(({ output }) => output).filter((output) => fromRows.has(output));
  const borders = [...cut, ...statistics];

  const types = inferTypes(graph);
  const g = new GraphBuilder({ ...graph, outputs: [] });
  const share = g.input(g.unique('share'), 'float32', []);
  const take = (name: string): string => {
    const part = g.op('Mul', [name, share], {}, { name: 'shared' });
    g.output(part);
    return part;
  };
  const sharedLoss = take(loss);
  const ends = new Set(graph.outputs.map(({ name }) => name));
  const passing = borders.filter((name) => ends.has(name));
  const entryOf = (name: string): string => (ends.has(name) ? `${name}.summed` : name);
  const handed = new Map(borders.map((name) => [entryOf(name), take(name)]));
  const made = new Set(borders);
  const after: Graph = {
    ...graph,
    name: 'update',
    initializers: new Map([...graph.initializers].filter(([name]) => !made.has(name))),
    inputs: [
      ...graph.inputs.filter(({ name }) => kept.has(name)),
      ...borders.map((name) => ({ name: entryOf(name), ...types.get(name) })),
    ],
    nodes: [
      // An output may not be an input: what only passes through goes in under another name.
      ...passing.map((name) => passOn(entryOf(name), name)),
      ...graph.nodes.filter(({ outputs }) => !outputs.some((name) => made.has(name))),
    ],
    outputs: graph.outputs.filter(({ name }) => name !== loss),
  };
  return {
    gradients: { ...model, graph: onlyRead(removeDead(g.build())) },
    update: { ...model, graph: onlyRead(removeDead(after)) },
    share,
    loss: sharedLoss,
    handed,
  };
}

/** Names of what is computed from `sources`, but not through `cut`. */
function downstreamOf(
  nodes: readonly Node[],
  sources: ReadonlySet<string>,
  cut: ReadonlySet<string>,
): Set<string> {
  const found = new Set(sources);
  for (const node of nodes) {
    if (!readsOf(node).some((name) => found.has(name))) continue;
    for (const name of node.outputs) if (!cut.has(name)) found.add(name);
  }
  return found;
}

/** Without inputs that nothing reads. */
function onlyRead(graph: Graph): Graph {
  const read = new Set([...graph.nodes.flatMap(readsOf), ...graph.outputs.map(({ name }) => name)]);
  return { ...graph, inputs: graph.inputs.filter(({ name }) => read.has(name)) };
}

function passOn(from: string, to: string): Node {
  return { op: 'Identity', domain: '', name: to, inputs: [from], outputs: [to], attributes: {} };
}
