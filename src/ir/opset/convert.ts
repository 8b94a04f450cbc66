import {
  allNodesOf,
  readsOf,
  subgraphsOf,
  type Attribute,
  type Graph,
  type Model,
  type Node,
  type ValueType,
} from '../graph.js';
import { freshNames, liftConstants } from '../rewrite.js';
import { inferTypes } from '../shapes.js';
import type { Tensor } from '../tensor.js';
import { Site, type Surroundings } from './rule.js';
import { opsetRules } from './rules.js';

/** Operator sets that can be converted from, and to. */
export const oldestOpset = 7;
export const newestOpset = 26;

export interface ConvertedOpset {
  /** The same object where nothing was converted. */
  readonly model: Model;
  /** Operator set that the model has now. */
  readonly version: number;
  /** Nodes that are written in another way. */
  readonly applied: readonly { readonly node: string; readonly note: string }[];
  /** The nodes for which it goes no further, in the operator set that is the next. */
  readonly stopped: readonly { readonly node: string; readonly reason: string }[];
}

/** The first IR version that knows an operator set, by the table in ONNX' docs/Versioning.md. */
const irVersions: readonly (readonly [opset: number, ir: number])[] = [
  [26, 13],
  [24, 12],
  [23, 11],
  [21, 10],
  [19, 9],
  [15, 8],
  [12, 7],
  [11, 6],
  [10, 5],
];

/**
 * Brings a model up to a later operator set, one version after another, as far as its nodes allow. A model in it, or in a
 * later one, stays as it is.
 * @param to Operator set of ai.onnx, 7 … 26.
 */
export function convertOpset(model: Model, to: number): ConvertedOpset {
  const from = model.opsets[''];
  const stay = (reason?: string): ConvertedOpset => ({
    model,
    version: from ?? 0,
    applied: [],
    stopped: reason === undefined ? [] : [{ node: model.graph.name || 'the model', reason }],
  });
  if (from === undefined) return stay('it has no operators of ai.onnx');
  if (from >= to) return stay();
  if (from < oldestOpset) return stay(`operator set ${from} is older than ${oldestOpset}`);
  // Functions are written in an operator set of their own, which would have to change with it.
  if (model.rest && model.rest.length > 0) return stay('it has functions or a part for training of its own');
  const applied = new Map<string, string>();
  let graph = liftConstants(model.graph);
  let version = from;
  const climb = new Climb(graph);
  let stopped: ConvertedOpset['stopped'] = [];
  while (version < to) {
    const step = climb.step(graph, version + 1);
    if (step.stopped.length > 0) {
      stopped = step.stopped;
      break;
    }
    graph = step.graph;
    for (const { node, note } of step.applied) applied.set(node, note);
    version++;
  }
  if (version === from) return { ...stay(), stopped };
  const irVersion = Math.max(model.irVersion, irVersions.find(([opset]) => version >= opset)?.[1] ?? 4);
  // Up to IR version 3 every initializer had to be an input too: now that would mean that callers may feed it.
  const isFed = ({ name }: { name: string }): boolean => model.irVersion > 3 || !graph.initializers.has(name);
  return {
    model: {
      ...model,
      irVersion,
      opsets: { ...model.opsets, '': version },
      graph: { ...graph, inputs: graph.inputs.filter(isFed) },
    },
    version,
    applied: [...applied].map(([node, note]) => ({ node, note })),
    stopped,
  };
}

interface Step {
  readonly graph: Graph;
  readonly applied: readonly { readonly node: string; readonly note: string }[];
  readonly stopped: readonly { readonly node: string; readonly reason: string }[];
}

/** What lasts from one version to the next: names, and what was known of values at first. */
class Climb {
  readonly #fresh: (stem: string) => string;
  readonly #types: ReadonlyMap<string, ValueType>;
  readonly #enlarged = new Set<string>();
  readonly #placed = new Map<string, string>();

  constructor(graph: Graph) {
    this.#fresh = freshNames(graph);
    this.#types = typesOf(graph);
  }

  step(graph: Graph, version: number): Step {
    const rules = opsetRules[version];
    const applied: Step['applied'][number][] = [];
    const stopped: Step['stopped'][number][] = [];
    if (!rules) return { graph, applied, stopped };
    const initializers = new Map(graph.initializers);
    const reads = new Set([
      ...allNodesOf(graph).flatMap(readsOf),
      ...[graph, ...allNodesOf(graph).flatMap(subgraphsOf)].flatMap(({ outputs }) =>
        outputs.map(({ name }) => name),
      ),
    ]);
    const around = (constants: readonly ReadonlyMap<string, Tensor>[]): Surroundings => ({
      typeOf: (name) => this.#types.get(name),
      constantOf: (name) => constants.map((each) => each.get(name)).find((each) => each !== undefined),
      isRead: (name) => name !== '' && reads.has(name),
      place: (stem, key, constant) => {
        const id = `${stem} ${key}`;
        const name = this.#placed.get(id) ?? this.#fresh(stem);
        this.#placed.set(id, name);
        initializers.set(name, constant);
        return name;
      },
      fresh: this.#fresh,
      enlarged: this.#enlarged,
    });
    const inGraph = (part: Graph, constants: readonly ReadonlyMap<string, Tensor>[]): Graph => {
      const inside = [part.initializers, ...constants];
      const nodes = part.nodes.flatMap((given) => {
        const node = inNode(given, inside);
        const rule = node.domain === '' || node.domain === 'ai.onnx' ? rules[node.op] : undefined;
        const made = rule?.(new Site(node, around(inside)));
        if (made === undefined) return [node];
        const label = node.name || (node.outputs[0] ?? node.op);
        if (typeof made === 'string') {
          stopped.push({ node: label, reason: made });
          return [node];
        }
        applied.push({ node: label, note: `${node.op} as in operator set ${version}` });
        return Array.isArray(made) ? (made as readonly Node[]) : [made as Node];
      });
      return { ...part, nodes };
    };
    const inNode = (node: Node, constants: readonly ReadonlyMap<string, Tensor>[]): Node => {
      if (subgraphsOf(node).length === 0) return node;
      const inAttribute = (attribute: Attribute): Attribute => {
        if (attribute.type === 'graph')
          return { ...attribute, value: inGraph(liftConstants(attribute.value), constants) };
        if (attribute.type !== 'graphs') return attribute;
        return {
          ...attribute,
          value: attribute.value.map((each) => inGraph(liftConstants(each), constants)),
        };
      };
      const attributes = Object.entries(node.attributes).map(
        ([name, each]) => [name, inAttribute(each)] as const,
      );
      return { ...node, attributes: Object.fromEntries(attributes) };
    };
    const { nodes } = inGraph(graph, []);
    return { graph: { ...graph, nodes, initializers }, applied, stopped };
  }
}

/** Of values of subgraphs too: no name is that of two values that can be seen from one place. */
function typesOf(graph: Graph): Map<string, ValueType> {
  const types = inferTypes(graph);
  const inner = graph.nodes.flatMap(subgraphsOf);
  for (const part of inner) {
    for (const [name, type] of typesOf(part)) if (!types.has(name)) types.set(name, type);
  }
  return types;
}
