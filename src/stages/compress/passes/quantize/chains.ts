import { consumersOf, producersOf, stringAttribute, type Model, type Node } from '../../../../ir/graph.js';

/** Operators whose outputs are elements of their first input: all lie on one grid. */
const rearranging = new Set([
  'MaxPool',
  'Flatten',
  'Reshape',
  'Transpose',
  'Squeeze',
  'Unsqueeze',
  'Identity',
  'Split',
  'Resize',
]);

/** Operators that onnxruntime has for integers where all their inputs are integers, and so is what they give. */
const elementary = new Set([
  'Add',
  'Mul',
  'Sigmoid',
  'LeakyRelu',
  'Concat',
  'AveragePool',
  'GlobalAveragePool',
]);

/** What lies between layers that compute with integers. */
export interface Chains {
  /** What a layer gives behind the Relu or Clip that nothing but it feeds. */
  endOf(node: Node): string;
  /** The node between a layer and its end. */
  activationOf(node: Node): Node | undefined;
  /** The value whose elements these are. */
  sourceOf(name: string): string;
  isOutput(name: string): boolean;
  /**
   * What can be computed with integers because all that it reads is: sums, products and the like, as far as one of these
   * layers reads them in the end.
   */
  between(layers: ReadonlySet<Node>, isWanted: (node: Node) => boolean): Node[];
  /** Whether a layer stands between integers: it reads nothing else, and nothing else reads it. */
  closes(layer: Node, layers: ReadonlySet<Node>, between: readonly Node[]): boolean;
}

export function chainsOf({ graph }: Model): Chains {
  const producers = producersOf(graph);
  const consumers = consumersOf(graph);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const isOutput = (name: string): boolean => outputs.has(name);
  const activationOf = (node: Node): Node | undefined => {
    const output = node.outputs[0]!;
    const [next, ...others] = consumers.get(output) ?? [];
    if (!next || others.length > 0 || outputs.has(output) || next.domain !== '') return undefined;
    const bounded = next.op === 'Clip' && next.inputs.slice(1).every((name) => graph.initializers.has(name));
    return next.op === 'Relu' || bounded ? next : undefined;
  };
  const endOf = (node: Node): string => (activationOf(node) ?? node).outputs[0]!;
  const rearranges = (node: Node): boolean => {
    if (node.domain !== '' || !rearranging.has(node.op)) return false;
    // Others than the nearest are mixed.
    if (node.op === 'Resize') return stringAttribute(node, 'mode', 'nearest') === 'nearest';
    return node.op === 'Split' || !node.outputs[1];
  };
  const sourceOf = (name: string): string => {
    const node = producers.get(name);
    return node && rearranges(node) ? sourceOf(node.inputs[0]!) : name;
  };
  /** Those that read a value, or elements of it. */
  const readersOf = (name: string): Node[] =>
    (consumers.get(name) ?? []).flatMap((node) =>
      rearranges(node) && node.inputs[0] === name ? node.outputs.flatMap(readersOf) : [node],
    );
  /** Values that are rounded for these layers, or by them. */
  const roundedBy = (layers: ReadonlySet<Node>): Set<string> =>
    new Set([...layers].flatMap((node) => [sourceOf(node.inputs[0]!), endOf(node)]));
  const isOnGrid = (name: string, ends: ReadonlySet<string>): boolean => ends.has(sourceOf(name));

  return {
    activationOf,
    endOf,
    sourceOf,
    isOutput,
    between(layers, isWanted) {
      const ends = roundedBy(layers);
      const found = new Set<Node>();
      // Nodes stand in order, so that a sum of sums finds the inner one done.
      for (const node of graph.nodes) {
        const fits =
          node.domain === '' &&
          elementary.has(node.op) &&
          !node.outputs[1] &&
          node.inputs.every((name) => isOnGrid(name, ends));
        if (!fits || isOutput(endOf(node)) || !isWanted(node)) continue;
        found.add(node);
        ends.add(endOf(node));
      }
      for (const node of [...graph.nodes].reverse()) {
        const isRead = (reader: Node): boolean => layers.has(reader) || found.has(reader);
        if (found.has(node) && !readersOf(endOf(node)).some(isRead)) found.delete(node);
      }
      return [...found];
    },
    closes(layer, layers, between) {
      const ends = roundedBy(layers);
      for (const node of between) ends.add(endOf(node));
      if (!isOnGrid(layer.inputs[0]!, ends)) return false;
      ends.add(endOf(layer));
      const readers = readersOf(endOf(layer));
      const isInteger = (reader: Node): boolean =>
        layers.has(reader) ||
        (elementary.has(reader.op) && reader.inputs.every((name) => isOnGrid(name, ends)));
      return readers.length > 0 && readers.every(isInteger);
    },
  };
}
