import type { Graph, Node, Value } from '../graph.js';
import { consumersOf, producersOf } from '../graph.js';
import { removeDead } from '../rewrite.js';

/** What the texts of a model's inputs and outputs stand for in a graph that knows numbers alone. */
export interface TextCodes {
  /** For an input, the number of each text; a text that is not among them is `other`. */
  readonly categories: Readonly<
    Record<string, { readonly codes: Readonly<Record<string, number>>; readonly other: number }>
  >;
  /** For an output, the text of each number. */
  readonly labels: Readonly<Record<string, readonly string[]>>;
}

/**
 * Takes look-ups of texts (LabelEncoder) off the ends of a graph: an input then takes the number that its text stands
 * for, an output gives the number of its text.
 */
export function splitText(graph: Graph): TextCodes & { readonly graph: Graph } {
  const categories: Record<string, TextCodes['categories'][string]> = {};
  const labels: Record<string, readonly string[]> = {};
  const consumers = consumersOf(graph);
  const producers = producersOf(graph);
  /** Look-ups to take out, with what is left in their place. */
  const gone = new Map<Node, Node>();
  const inputs = graph.inputs.map((value): Value => {
    const readers = consumers.get(value.name) ?? [];
    const codes = readers.map((node) => codesOf(node));
    const [first] = codes;
    const isOutput = graph.outputs.some(({ name }) => name === value.name);
    if (value.dtype !== 'string' || !first || isOutput) return value;
    if (codes.some((other) => JSON.stringify(other) !== JSON.stringify(first))) return value;
    categories[value.name] = first;
    for (const node of readers) gone.set(node, { ...node, op: 'Identity', domain: '', attributes: {} });
    return { ...value, dtype: 'int64' };
  });
  const outputs = graph.outputs.map((value): Value => {
    const node = producers.get(value.name);
    const texts = node && textsOf(node);
    if (!texts || consumers.has(value.name)) return value;
    labels[value.name] = texts;
    gone.set(node, { ...node, op: 'Identity', domain: '', attributes: {} });
    return { ...value, dtype: 'int64' };
  });
  const nodes = graph.nodes.flatMap((node) => (gone.has(node) ? (gone.get(node) ?? []) : node));
  return { graph: removeDead({ ...graph, inputs, outputs, nodes }), categories, labels };
}

const isLookup = ({ op, domain }: Node) => op === 'LabelEncoder' && domain === 'ai.onnx.ml';

/** Text → number. */
function codesOf(node: Node): TextCodes['categories'][string] | undefined {
  const { keys_strings: keys, values_int64s: values, default_int64: other } = node.attributes;
  if (!isLookup(node) || keys?.type !== 'strings' || values?.type !== 'ints') return undefined;
  return {
    codes: Object.fromEntries(keys.value.map((text, at) => [text, Number(values.value[at])])),
    other: other?.type === 'int' ? Number(other.value) : -1,
  };
}

/** Number → text, where the numbers count from 0. */
function textsOf(node: Node): readonly string[] | undefined {
  const { keys_int64s: keys, values_strings: values } = node.attributes;
  if (!isLookup(node) || keys?.type !== 'ints' || values?.type !== 'strings') return undefined;
  return keys.value.every((key, at) => Number(key) === at) ? values.value : undefined;
}
