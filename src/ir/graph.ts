import type { DType, Tensor } from './tensor.js';

/** A known size, or the name of a symbolic one (`N` for the batch). */
export type Dim = number | string;

/** What is known of a value: `shape` is undefined when even the rank is not known. */
export interface ValueType {
  readonly dtype: DType;
  readonly shape: readonly Dim[] | undefined;
  /** Elements of a small integer tensor of rank 0 or 1, where known: sizes on their way from Shape to Reshape. */
  readonly elements?: readonly Dim[];
}

export interface Value extends Partial<ValueType> {
  readonly name: string;
  readonly doc?: string;
  /** The encoded TypeProto of a value that is no tensor (sequence, map, optional), kept as it came. */
  readonly opaqueType?: Uint8Array;
}

export type Attribute =
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'int'; readonly value: bigint }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'tensor'; readonly value: Tensor }
  | { readonly type: 'graph'; readonly value: Graph }
  | { readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly type: 'ints'; readonly value: readonly bigint[] }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'tensors'; readonly value: readonly Tensor[] }
  | { readonly type: 'graphs'; readonly value: readonly Graph[] }
  /** A kind that maas does not look into, kept as the encoded AttributeProto. */
  | { readonly type: 'opaque'; readonly value: Uint8Array };

export type Attributes = Readonly<Record<string, Attribute>>;

/** One operator. An empty string among `inputs` or `outputs` is an optional one left out. */
export interface Node {
  readonly op: string;
  /** '' is ai.onnx. */
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
  /** What maas does not use (doc string, overload, metadata, fields of later versions), encoded as a NodeProto. */
  readonly rest?: Uint8Array;
}

/**
 * An immutable ONNX graph in single static assignment: each name is written once, by an input, an initializer or a
 * node. `nodes` are in topological order. Rewrites make a new graph and share what they leave alone.
 */
export interface Graph {
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly initializers: ReadonlyMap<string, Tensor>;
  readonly nodes: readonly Node[];
  /** Types of inner values, as far as the file states them. */
  readonly values: ReadonlyMap<string, Value>;
  readonly rest?: Uint8Array;
}

/** A graph with what the file says around it. */
export interface Model {
  readonly irVersion: number;
  /** Operator-set version by domain; '' is ai.onnx. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly producer: string;
  readonly graph: Graph;
  readonly metadata: Readonly<Record<string, string>>;
  /** Functions, training info and other fields maas carries along, encoded as a ModelProto. */
  readonly rest?: Uint8Array;
}

/** Constructors for attributes: in JavaScript 1 may be a float or an int, in ONNX the two differ. */
export const attr = {
  float: (value: number): Attribute => ({ type: 'float', value }),
  int: (value: number | bigint): Attribute => ({ type: 'int', value: BigInt(value) }),
  string: (value: string): Attribute => ({ type: 'string', value }),
  tensor: (value: Tensor): Attribute => ({ type: 'tensor', value }),
  graph: (value: Graph): Attribute => ({ type: 'graph', value }),
  floats: (value: readonly number[]): Attribute => ({ type: 'floats', value }),
  ints: (value: readonly (number | bigint)[]): Attribute => ({ type: 'ints', value: value.map(BigInt) }),
  strings: (value: readonly string[]): Attribute => ({ type: 'strings', value }),
};

/** The inputs that a caller has to feed: those that no initializer fills. */
export function openInputs({ inputs, initializers }: Graph): Value[] {
  return inputs.filter(({ name }) => !initializers.has(name));
}

/** The attribute's number, or `otherwise` when the node leaves it at its default. */
export function numberAttribute(node: Node, name: string, otherwise: number): number {
  const attribute = node.attributes[name];
  return attribute?.type === 'float' || attribute?.type === 'int' ? Number(attribute.value) : otherwise;
}

export function numbersAttribute(node: Node, name: string): number[] | undefined {
  const attribute = node.attributes[name];
  if (attribute?.type !== 'ints' && attribute?.type !== 'floats') return undefined;
  return Array.from(attribute.value as ArrayLike<number | bigint>, Number);
}

export function stringAttribute(node: Node, name: string, otherwise: string): string {
  const attribute = node.attributes[name];
  return attribute?.type === 'string' ? attribute.value : otherwise;
}

/** The graphs a node runs inside itself (If, Loop, Scan). */
export function subgraphsOf(node: Node): Graph[] {
  return Object.values(node.attributes).flatMap((attribute) => {
    if (attribute.type === 'graph') return [attribute.value];
    return attribute.type === 'graphs' ? [...attribute.value] : [];
  });
}

/** The nodes of a graph, each followed by those of its subgraphs. */
export function allNodesOf(graph: Graph): Node[] {
  return graph.nodes.flatMap((node) => [node, ...subgraphsOf(node).flatMap(allNodesOf)]);
}

/** Every name a node reads, the outer names its subgraphs reach for included. */
export function readsOf(node: Node): string[] {
  return [...node.inputs.filter((name) => name !== ''), ...subgraphsOf(node).flatMap(outerReadsOf)];
}

/** Names that a subgraph uses without defining them. */
export function outerReadsOf(graph: Graph): string[] {
  const own = new Set([
    ...graph.inputs.map((value) => value.name),
    ...graph.initializers.keys(),
    ...graph.nodes.flatMap((node) => node.outputs),
  ]);
  const reads = [...graph.nodes.flatMap(readsOf), ...graph.outputs.map((value) => value.name)];
  return [...new Set(reads)].filter((name) => !own.has(name));
}

export function producersOf(graph: Graph): Map<string, Node> {
  return new Map(graph.nodes.flatMap((node) => node.outputs.filter(Boolean).map((name) => [name, node])));
}

/** Nodes that read each name; a node that reads it twice is listed once. */
export function consumersOf(graph: Graph): Map<string, Node[]> {
  const consumers = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    for (const name of new Set(readsOf(node))) {
      const readers = consumers.get(name);
      if (readers) readers.push(node);
      else consumers.set(name, [node]);
    }
  }
  return consumers;
}
