import { allNodesOf, producersOf, type Graph, type Node } from './graph.js';
import { sizeOf, type Tensor } from './tensor.js';

/** Inputs that hold weights, by operator. What subtracts, divides or bounds is a setting, not a weight. */
const weightInputs: Readonly<Record<string, readonly number[]>> = {
  Gemm: [0, 1, 2],
  MatMul: [0, 1],
  Einsum: [0, 1],
  Conv: [1, 2],
  ConvTranspose: [1, 2],
  // Not its mean and variance: those are statistics.
  BatchNormalization: [1, 2],
  LayerNormalization: [1, 2],
  SimplifiedLayerNormalization: [1],
  RMSNormalization: [1],
  GroupNormalization: [1, 2],
  InstanceNormalization: [1, 2],
  PRelu: [1],
  Gather: [0],
  LSTM: [1, 2, 3, 7],
  GRU: [1, 2, 3],
  RNN: [1, 2, 3],
  Add: [0, 1],
  Mul: [0, 1],
};

/** Operators that a weight may pass through on its way to where it is used. */
const layouts = new Set([
  'Identity',
  'Cast',
  'Transpose',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
  'Flatten',
  'Concat',
]);

/**
 * Names of the float32 constants that are weights by the way in which they are used, in the order of their use. One
 * number that is added or multiplied everywhere (the ½ of a GELU) is none.
 */
export function findWeights(graph: Graph): string[] {
  const nodes = allNodesOf(graph);
  const producers = producersOf({ ...graph, nodes });
  const found = new Set<string>();
  const take = (name: string, scalars: boolean): void => {
    const constant = graph.initializers.get(name);
    if (constant) {
      if (isWeight(constant, scalars)) found.add(name);
      return;
    }
    const producer = producers.get(name);
    if (producer?.domain === '' && layouts.has(producer.op) && isConstant(producer, graph, producers)) {
      for (const input of producer.inputs) take(input, scalars);
    }
  };
  for (const { op, domain, inputs } of nodes) {
    if (domain !== '' && domain !== 'ai.onnx' && domain !== 'com.microsoft') continue;
    for (const index of weightInputs[op] ?? []) {
      const name = inputs[index] ?? '';
      if (name !== '') take(name, op !== 'Add' && op !== 'Mul');
    }
  }
  return [...found];
}

function isWeight({ dtype, dims }: Tensor, scalars: boolean): boolean {
  return dtype === 'float32' && dims.length > 0 && (scalars || sizeOf(dims) > 1);
}

/** True when nothing but constants goes into the node. */
function isConstant(node: Node, graph: Graph, producers: ReadonlyMap<string, Node>): boolean {
  return node.inputs.every((name) => {
    if (name === '' || graph.initializers.has(name)) return true;
    const producer = producers.get(name);
    return producer !== undefined && isConstant(producer, graph, producers);
  });
}

/** Those of `names` that `node`, or what it is computed from, reads. */
export function weightsBefore(graph: Graph, node: Node, names: readonly string[]): string[] {
  const producers = producersOf(graph);
  const seen = new Set<string>();
  const pending = [...node.inputs];
  while (pending.length > 0) {
    const name = pending.pop()!;
    if (seen.has(name)) continue;
    seen.add(name);
    pending.push(...(producers.get(name)?.inputs ?? []));
  }
  return names.filter((name) => seen.has(name));
}
