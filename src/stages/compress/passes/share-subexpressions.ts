import { createHash } from 'node:crypto';
import { subgraphsOf, type Attribute, type Attributes, type Node } from '../../../ir/graph.js';
import { renameReads, replaceNodes } from '../../../ir/rewrite.js';
import { isFileRange, type Tensor } from '../../../ir/tensor.js';
import { defineCleanup, random } from './cleanup/cleanup.js';
import { constantAt, labelOf } from './dense-layer.js';

/**
 * What: computes once what several nodes compute alike, and stores once what several constants hold alike.
 * Why: exporters write the same mask, shape or weight out for each layer.
 * Example: Add(Relu(x), Relu(x)) runs Relu once.
 */
export const shareSubexpressionsPass = defineCleanup(
  'shareSubexpressions',
  'Compute once what is computed twice.',
  (model) => {
    const { graph } = model;
    const outputs = new Set(graph.outputs.map(({ name }) => name));
    const names = new Map<string, string>();
    const applied: { node: string; note: string }[] = [];
    const constants = new Map<string, string>();
    for (const [name, tensor] of graph.initializers) {
      if (!constantAt(name, graph, model.irVersion) || outputs.has(name)) continue;
      if (graph.inputs.some((input) => input.name === name)) continue;
      const key = keyOfTensor(tensor);
      const first = constants.get(key);
      if (first === undefined) constants.set(key, name);
      else {
        names.set(name, first);
        applied.push({ node: name, note: `the same as ${first}` });
      }
    }
    const seen = new Map<string, Node>();
    const shared = replaceNodes(graph, (node) => {
      const key = keyOfNode(node, names);
      if (key === undefined) return undefined;
      const first = seen.get(key);
      if (!first || node.outputs.some((name) => outputs.has(name))) {
        if (!first) seen.set(key, node);
        return undefined;
      }
      node.outputs.forEach((name, index) => {
        if (name !== '') names.set(name, first.outputs[index]!);
      });
      applied.push({ node: labelOf(node), note: `the same as ${labelOf(first)}` });
      return { nodes: [] };
    });
    return { graph: renameReads(shared, names), applied };
  },
);

/** The same for nodes that give the same; undefined where two runs may differ, or nobody looks inside. */
function keyOfNode(node: Node, names: ReadonlyMap<string, string>): string | undefined {
  const isOpaque = Object.values(node.attributes).some(({ type }) => type === 'opaque');
  if (node.domain !== '' || random.has(node.op) || subgraphsOf(node).length > 0 || isOpaque) return undefined;
  if (node.inputs.length === 0) return undefined;
  const inputs = node.inputs.map((name) => names.get(name) ?? name);
  // Nodes kept as they are by whoever reads the file may hold what maas does not know.
  const rest = node.rest ? createHash('sha256').update(node.rest).digest('hex') : '';
  const used = node.outputs.map((name) => name !== '');
  return JSON.stringify([node.op, inputs, used, keyOfAttributes(node.attributes), rest]);
}

function keyOfAttributes(attributes: Attributes): unknown {
  return Object.entries(attributes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, attribute]) => [name, attribute.type, keyOfAttribute(attribute)]);
}

function keyOfAttribute(attribute: Attribute): unknown {
  switch (attribute.type) {
    case 'tensor':
      return keyOfTensor(attribute.value);
    case 'tensors':
      return attribute.value.map(keyOfTensor);
    case 'int':
      return String(attribute.value);
    case 'ints':
      return attribute.value.map(String);
    default:
      return attribute.value;
  }
}

function keyOfTensor({ dtype, dims, data }: Tensor): string {
  if (isFileRange(data)) return JSON.stringify([dtype, dims, data.path, data.offset, data.length]);
  const content = data instanceof Uint8Array ? createHash('sha256').update(data).digest('hex') : data;
  return JSON.stringify([dtype, dims, content]);
}
