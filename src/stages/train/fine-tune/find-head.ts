import { numberAttribute, producersOf, type Graph, type Node } from '../../../ir/graph.js';
import { sizeOf } from '../../../ir/tensor.js';

/** Functions that turn logits into what is read; the house puts its own at the end. */
const endings = new Set(['Softmax', 'LogSoftmax', 'Sigmoid', 'Identity', 'Cast']);

/** Logits behind a model's output: what goes into the softmax or sigmoid that ends it. */
export function findLogits(graph: Graph, output: string): string {
  const producers = producersOf(graph);
  let name = output;
  for (let node = producers.get(name); node && isOf(node, endings); node = producers.get(name)) {
    name = node.inputs[0]!;
  }
  return name;
}

const scalings = new Set(['Add', 'Mul']);
const shapings = new Set(['Squeeze', 'Flatten', 'Reshape']);

/** The value that goes into the dense layer that gives `logits`; undefined when something else gives them. */
export function findHeadInput(graph: Graph, logits: string): string | undefined {
  const producers = producersOf(graph);
  const isComputed = (name: string | undefined): boolean =>
    name !== undefined && (producers.has(name) || graph.inputs.some((input) => input.name === name));
  let node = producers.get(logits);
  while (node && isOf(node, shapings)) node = producers.get(node.inputs[0]!);
  while (node && isOf(node, scalings)) {
    // A bias, or the unit of an amount: one side is computed from the rows, the other is a constant.
    const sides = node.inputs.filter(isComputed);
    const constant = node.inputs.find((name) => !isComputed(name));
    const isOne = sizeOf(graph.initializers.get(constant ?? '')?.dims ?? [0]) === 1;
    node = sides.length === 1 && (isOne || node.op === 'Add') ? producers.get(sides[0]!) : undefined;
  }
  if (!node || !isOf(node, new Set(['Gemm', 'MatMul']))) return undefined;
  const [input, weight] = node.inputs;
  if (numberAttribute(node, 'transA', 0) === 1 || !isComputed(input)) return undefined;
  // A product of two computed values is no layer, such as the scores of an attention.
  return isComputed(weight) && !isRearranged(weight!, graph, producers) ? undefined : input;
}

function isRearranged(name: string, graph: Graph, producers: ReadonlyMap<string, Node>): boolean {
  const inputs = producers.get(name)?.inputs ?? [];
  return inputs.length > 0 && inputs.every((each) => graph.initializers.has(each));
}

function isOf({ op, domain }: Node, ops: ReadonlySet<string>): boolean {
  return (domain === '' || domain === 'ai.onnx') && ops.has(op);
}
