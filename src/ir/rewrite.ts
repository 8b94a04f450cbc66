import { MaasError } from '../errors.js';
import {
  consumersOf,
  numberAttribute,
  outerReadsOf,
  producersOf,
  readsOf,
  subgraphsOf,
  type Attribute,
  type Graph,
  type Node,
} from './graph.js';
import { int64s, numbersOf, scalar, stringTensor, tensor, type Tensor } from './tensor.js';

/** What takes the place of a node. */
export interface Replacement {
  readonly nodes: readonly Node[];
  readonly initializers?: Iterable<readonly [string, Tensor]>;
}

/**
 * Puts other nodes in the place of those that `replace` answers for. The new ones must write every output of the old
 * one that is still read. Weights that nothing reads any more stay until `removeDead`.
 */
export function replaceNodes(graph: Graph, replace: (node: Node) => Replacement | undefined): Graph {
  const initializers = new Map(graph.initializers);
  const nodes = graph.nodes.flatMap((node) => {
    const replacement = replace(node);
    if (!replacement) return [node];
    for (const [name, constant] of replacement.initializers ?? []) initializers.set(name, constant);
    return replacement.nodes;
  });
  return { ...graph, nodes, initializers };
}

/** Gives out names that no value and no node of the graph or its subgraphs has, nor any given out before. */
export function freshNames(graph: Graph): (stem: string) => string {
  const taken = new Set<string>();
  const take = (part: Graph): void => {
    for (const value of [...part.inputs, ...part.outputs]) taken.add(value.name);
    for (const name of part.initializers.keys()) taken.add(name);
    for (const node of part.nodes) {
      taken.add(node.name);
      for (const name of [...node.inputs, ...node.outputs]) taken.add(name);
      subgraphsOf(node).forEach(take);
    }
  };
  take(graph);
  return (stem) => {
    let name = stem;
    for (let count = 1; taken.has(name); count++) name = `${stem}_${count}`;
    taken.add(name);
    return name;
  };
}

/**
 * Puts the nodes in an order in which each comes after those it reads from, and otherwise keeps their order.
 * @throws MaasError MAAS_MODEL_INVALID when the graph has a cycle.
 */
export function sortNodes(graph: Graph): Graph {
  const producers = producersOf(graph);
  const state = new Map<Node, 'open' | 'done'>();
  const nodes: Node[] = [];
  for (const start of graph.nodes) {
    // A stack of our own: a chain of nodes can be longer than the call stack.
    const stack = [start];
    while (stack.length > 0) {
      const node = stack.at(-1)!;
      if (state.get(node) === undefined) {
        state.set(node, 'open');
        const before = [...new Set(readsOf(node).flatMap((name) => producers.get(name) ?? []))];
        const waiting = before.filter((other) => state.get(other) !== 'done');
        if (waiting.some((other) => state.get(other) === 'open')) {
          throw new MaasError('MAAS_MODEL_INVALID', `the graph has a cycle through ${describe(node)}`);
        }
        stack.push(...waiting.reverse());
        continue;
      }
      stack.pop();
      if (state.get(node) === 'open') {
        state.set(node, 'done');
        nodes.push(node);
      }
    }
  }
  return { ...graph, nodes };
}

/** Removes nodes, weights and value types that no output depends on. The graph's inputs stay. */
export function removeDead(graph: Graph): Graph {
  const producers = producersOf(graph);
  const live = new Set<Node>();
  const needed = new Set<string>();
  const pending = graph.outputs.map((value) => value.name);
  while (pending.length > 0) {
    const name = pending.pop()!;
    if (needed.has(name)) continue;
    needed.add(name);
    const node = producers.get(name);
    if (!node || live.has(node)) continue;
    live.add(node);
    pending.push(...readsOf(node));
  }
  const nodes = graph.nodes.filter((node) => live.has(node));
  const written = new Set(nodes.flatMap((node) => node.outputs));
  const initializers = new Map([...graph.initializers].filter(([name]) => needed.has(name)));
  // Models of IR version 3 list each initializer among the inputs too: such an input goes with its weight.
  const dropped = (name: string): boolean => graph.initializers.has(name) && !initializers.has(name);
  const inputs = graph.inputs.filter(({ name }) => !dropped(name));
  const values = new Map([...graph.values].filter(([name]) => written.has(name) || initializers.has(name)));
  return { ...graph, inputs, nodes, initializers, values };
}

/**
 * Moves the constants of subgraphs out to the graph, where weights are looked for, under their own names where nothing else has
 * them. Those that a subgraph hands out as they are stay.
 */
export function hoistConstants(graph: Graph): Graph {
  const fresh = freshNames(graph);
  const initializers = new Map(graph.initializers);
  const times = new Map<string, number>();
  const count = (part: Graph): void => {
    const written = part.nodes.flatMap(({ outputs }) => outputs);
    for (const name of [...part.inputs.map((value) => value.name), ...part.initializers.keys(), ...written]) {
      times.set(name, (times.get(name) ?? 0) + 1);
    }
    for (const node of part.nodes) subgraphsOf(node).forEach(count);
  };
  count(graph);
  const hoist = (part: Graph): Graph => {
    const { initializers: own, ...rest } = liftConstants(part);
    const boundary = new Set([...part.inputs, ...part.outputs].map((value) => value.name));
    const kept = new Map([...own].filter(([name]) => boundary.has(name)));
    const names = new Map<string, string>();
    for (const [name, constant] of own) {
      if (kept.has(name)) continue;
      const outer = times.get(name) === 1 ? name : fresh(name);
      if (outer !== name) names.set(name, outer);
      initializers.set(outer, constant);
    }
    const renamed = renameReads({ ...rest, initializers: kept }, names);
    return { ...renamed, nodes: renamed.nodes.map(inNode) };
  };
  const inAttribute = (attribute: Attribute): Attribute => {
    if (attribute.type === 'graph') return { ...attribute, value: hoist(attribute.value) };
    if (attribute.type === 'graphs') return { ...attribute, value: attribute.value.map(hoist) };
    return attribute;
  };
  const inNode = (node: Node): Node => {
    if (subgraphsOf(node).length === 0) return node;
    const attributes = Object.entries(node.attributes).map(
      ([name, part]) => [name, inAttribute(part)] as const,
    );
    return { ...node, attributes: Object.fromEntries(attributes) };
  };
  const nodes = graph.nodes.map(inNode);
  return { ...graph, nodes, initializers };
}

/** Makes every reader of a name in `names` read the name it maps to, readers inside subgraphs included. */
export function renameReads(graph: Graph, names: ReadonlyMap<string, string>): Graph {
  if (names.size === 0) return graph;
  const rename = (name: string): string => names.get(name) ?? name;
  const inAttribute = (attribute: Attribute): Attribute => {
    if (attribute.type === 'graph') return { ...attribute, value: inSubgraph(attribute.value) };
    if (attribute.type === 'graphs') return { ...attribute, value: attribute.value.map(inSubgraph) };
    return attribute;
  };
  const inSubgraph = (part: Graph): Graph => {
    const outer = outerReadsOf(part).filter((name) => names.has(name));
    if (outer.length === 0) return part;
    const renamed = renameReads(part, names);
    return { ...renamed, outputs: part.outputs.map((value) => ({ ...value, name: rename(value.name) })) };
  };
  const nodes = graph.nodes.map((node) => {
    if (!readsOf(node).some((name) => names.has(name))) return node;
    const attributes = Object.entries(node.attributes).map(
      ([name, part]) => [name, inAttribute(part)] as const,
    );
    return { ...node, inputs: node.inputs.map(rename), attributes: Object.fromEntries(attributes) };
  });
  return { ...graph, nodes };
}

/** Turns Constant nodes into initializers, so that weights are found in one place whatever exporter wrote the model. */
export function liftConstants(graph: Graph): Graph {
  return replaceNodes(graph, (node) => {
    const constant = node.op === 'Constant' && node.domain === '' ? constantOf(node) : undefined;
    const name = node.outputs[0];
    // An initializer cannot be an output of the graph in every runtime.
    if (!constant || name === undefined || graph.outputs.some((value) => value.name === name))
      return undefined;
    return { nodes: [], initializers: [[name, constant]] };
  });
}

function constantOf(node: Node): Tensor | undefined {
  const [name, attribute] = Object.entries(node.attributes)[0] ?? [];
  switch (attribute?.type) {
    case 'tensor':
      return attribute.value;
    case 'float':
      return scalar('float32', attribute.value);
    case 'floats':
      return tensor('float32', [attribute.value.length], attribute.value);
    case 'int':
      return tensor('int64', [], [attribute.value]);
    case 'ints':
      return int64s(attribute.value.map(Number));
    case 'string':
      return name === 'value_string' ? stringTensor([], [attribute.value]) : undefined;
    case 'strings':
      return stringTensor([attribute.value.length], attribute.value);
    default:
      return undefined;
  }
}

/**
 * Removes Dropout nodes that do nothing outside training. One that writes a graph output becomes an Identity; one
 * whose mask is read, or that a constant switches to training, stays.
 */
export function stripDropout(graph: Graph): Graph {
  const consumers = consumersOf(graph);
  const outputs = new Set(graph.outputs.map((value) => value.name));
  const names = new Map<string, string>();
  const stripped = replaceNodes(graph, (node) => {
    if (node.op !== 'Dropout' || node.domain !== '' || isTraining(node, graph)) return undefined;
    const [data] = node.inputs;
    const [output, mask = ''] = node.outputs;
    if (data === undefined || output === undefined) return undefined;
    if (mask !== '' && (consumers.has(mask) || outputs.has(mask))) return undefined;
    if (outputs.has(output)) {
      return { nodes: [{ ...node, op: 'Identity', inputs: [data], outputs: [output], attributes: {} }] };
    }
    names.set(output, names.get(data) ?? data);
    return { nodes: [] };
  });
  return names.size > 0 ? removeDead(renameReads(stripped, names)) : stripped;
}

function isTraining(node: Node, graph: Graph): boolean {
  // Before opset 7 the mode was an attribute, `is_test`; since 12 it is the third input.
  if ('is_test' in node.attributes) return numberAttribute(node, 'is_test', 0) === 0;
  const mode = node.inputs[2] ?? '';
  if (mode === '') return false;
  const constant = graph.initializers.get(mode);
  return !constant || numbersOf(constant)[0] !== 0;
}

function describe(node: Node): string {
  return `${node.op} ${node.name === '' ? (node.outputs[0] ?? '') : node.name}`;
}
