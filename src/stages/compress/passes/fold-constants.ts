import { subgraphsOf, type Graph, type Model, type Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import { encodeModel } from '../../../ir/onnx/save.js';
import { replaceNodes } from '../../../ir/rewrite.js';
import { byteLengthOf, fromNdArray, type NdArray, type Tensor } from '../../../ir/tensor.js';
import { MaasError } from '../../../errors.js';
import { openSession } from '../../../runtime/session.js';
import { defineCleanup, random } from './cleanup/cleanup.js';
import { constantAt, labelOf } from './dense-layer.js';

/** A constant may grow to this many bytes, and larger ones to what they were made from. */
const mayGrow = 1 << 16;

/** Types that weights are stored in to take fewer bytes. */
const storage: ReadonlySet<string> = new Set(['float16', 'int8', 'uint8', 'uint4']);

/** Weights in integers are wanted as they are. */
const kept = new Set([...random, 'DequantizeLinear', 'QuantizeLinear', 'Constant']);

/**
 * What: computes nodes that read constants only, and stores what they give.
 * Why: exporters leave the arithmetic of shapes, masks and transposed weights to each run.
 * Example: MatMul(x, Transpose(W)) → MatMul(x, Wᵀ).
 *
 * onnxruntime computes them, so that the numbers are those that a run would have had.
 */
export const foldConstantsPass = defineCleanup(
  'foldConstants',
  'Compute what depends on constants only.',
  async (model) => {
    const { graph } = model;
    const nodes = findConstant(model);
    const results = nodes.length > 0 ? await evaluate(nodes, model) : new Map<string, Tensor>();
    const outputs = new Set(graph.outputs.map(({ name }) => name));
    const applied: { node: string; note: string }[] = [];
    const folded = replaceNodes(graph, (node) => {
      const names = node.outputs.filter(Boolean);
      const constants = names.map((name) => results.get(name));
      const isWhole = constants.length > 0 && constants.every((constant) => constant !== undefined);
      // An initializer cannot be an output of the graph in every runtime.
      if (!isWhole || names.some((name) => outputs.has(name)) || grows(node, constants, graph))
        return undefined;
      applied.push({ node: labelOf(node), note: `computed once (${node.op})` });
      return { nodes: [], initializers: names.map((name, index) => [name, constants[index]!] as const) };
    });
    return { graph: folded, applied };
  },
);

function findConstant({ graph, irVersion }: Model): Node[] {
  const known = new Set<string>();
  const isKnown = (name: string): boolean =>
    name === '' || known.has(name) || constantAt(name, graph, irVersion) !== undefined;
  return graph.nodes.filter((node) => {
    if (node.domain !== '' || kept.has(node.op) || subgraphsOf(node).length > 0) return false;
    // Weights in fewer bytes are wanted as they are, too.
    const stored = node.op === 'Cast' ? graph.initializers.get(node.inputs[0]!)?.dtype : undefined;
    if (stored !== undefined && storage.has(stored)) return false;
    if (node.inputs.length === 0 || !node.inputs.every(isKnown)) return false;
    for (const name of node.outputs) known.add(name);
    return true;
  });
}

function grows(node: Node, constants: readonly (Tensor | undefined)[], { initializers }: Graph): boolean {
  const bytes = constants.reduce((sum, constant) => sum + byteLengthOf(constant!), 0);
  const from = node.inputs.reduce((sum, name) => {
    const constant = initializers.get(name);
    return sum + (constant ? byteLengthOf(constant) : 0);
  }, 0);
  return bytes > Math.max(mayGrow, from);
}

/** What the nodes give. If onnxruntime cannot run all of them at once, then those that it can run by themselves. */
async function evaluate(nodes: readonly Node[], model: Model): Promise<Map<string, Tensor>> {
  const all = await tryRun(nodes, model, new Map());
  if (all) return all;
  const results = new Map<string, Tensor>();
  for (const node of nodes) {
    for (const [name, value] of (await tryRun([node], model, results)) ?? []) results.set(name, value);
  }
  return results;
}

async function tryRun(
  nodes: readonly Node[],
  model: Model,
  known: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor> | undefined> {
  const written = nodes.flatMap(({ outputs }) => outputs.filter(Boolean));
  const initializers = new Map<string, Tensor>();
  for (const name of nodes.flatMap(({ inputs }) => inputs)) {
    const constant = known.get(name) ?? model.graph.initializers.get(name);
    if (constant) initializers.set(name, await loadTensor(constant));
  }
  const graph: Graph = {
    name: 'constants',
    inputs: [],
    outputs: written.map((name) => ({ ...model.graph.values.get(name), name })),
    initializers,
    nodes,
    values: new Map(),
  };
  const { irVersion, opsets, producer } = model;
  let outputs: Record<string, NdArray>;
  try {
    const bytes = encodeModel({ irVersion, opsets, producer, metadata: {}, graph });
    const session = await openSession(bytes, { optimization: 'disabled' });
    try {
      outputs = await session.run({}, written);
    } finally {
      await session.close();
    }
    return new Map(Object.entries(outputs).map(([name, array]) => [name, fromNdArray(array)]));
  } catch (error) {
    if (error instanceof MaasError || error instanceof Error) return undefined;
    throw error;
  }
}
