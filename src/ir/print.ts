import { createHash } from 'node:crypto';
import type { Attribute, Dim, Graph, Model, Node, Value } from './graph.js';
import { byteLengthOf, isFileRange, isNumeric, numbersOf, sizeOf, type Tensor } from './tensor.js';

/** Constants of up to this many elements are printed with their values, larger ones with a digest. */
const shown = 8;

/**
 * A model as text, one line a node, for golden tests and for people:
 *
 *     model ir 10, opset 21
 *     graph main(features: float32[N, 4]) -> (y: float32[N, 3])
 *       const w: float32[4, 3] sha256:0d1c…
 *       y: float32[N, 3] = Gemm(features, w) {transB: 0}
 */
export function printModel(model: Model): string {
  const opsets = Object.entries(model.opsets).map(([domain, version]) => `${domain || 'opset'} ${version}`);
  return `model ir ${model.irVersion}, ${opsets.join(', ')}\n${printGraph(model.graph)}`;
}

export function printGraph(graph: Graph, indent = ''): string {
  const types = new Map([...graph.values, ...graph.outputs.map((value) => [value.name, value] as const)]);
  const values = (list: readonly Value[]): string => list.map(printValue).join(', ');
  const inner = `${indent}  `;
  const lines = [
    `${indent}graph ${graph.name || '_'}(${values(graph.inputs)}) -> (${values(graph.outputs)})`,
    ...[...graph.initializers].map(([name, constant]) => `${inner}const ${name}: ${printTensor(constant)}`),
    ...graph.nodes.map((node) => printNode(node, types, inner)),
  ];
  return `${lines.join('\n')}\n`;
}

function printNode(node: Node, types: ReadonlyMap<string, Value>, indent: string): string {
  const outputs = node.outputs.map((name) => (name === '' ? '_' : printValue(types.get(name) ?? { name })));
  const inputs = node.inputs.map((name) => name || '_');
  const op = node.domain === '' ? node.op : `${node.domain}.${node.op}`;
  const plain: string[] = [];
  const graphs: string[] = [];
  // In the order of their names: exporters write them in any order.
  for (const [name, attribute] of Object.entries(node.attributes).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const inner =
      attribute.type === 'graph' ? [attribute.value] : attribute.type === 'graphs' ? attribute.value : [];
    if (inner.length === 0) plain.push(`${name}: ${printAttribute(attribute)}`);
    for (const graph of inner)
      graphs.push(`${indent}  ${name}:\n${printGraph(graph, `${indent}    `).trimEnd()}`);
  }
  const attributes = plain.length > 0 ? ` {${plain.join(', ')}}` : '';
  return [`${indent}${outputs.join(', ')} = ${op}(${inputs.join(', ')})${attributes}`, ...graphs].join('\n');
}

function printValue({ name, dtype, shape, opaqueType }: Value): string {
  if (!dtype) return opaqueType ? `${name}: opaque` : name;
  return `${name}: ${dtype}${shape ? printShape(shape) : ''}`;
}

function printShape(shape: readonly Dim[]): string {
  return `[${shape.map((dim) => (dim === '' ? '?' : dim)).join(', ')}]`;
}

function printTensor(constant: Tensor): string {
  const { dtype, dims, data } = constant;
  const type = `${dtype}${printShape(dims)}`;
  if (isFileRange(data)) return `${type} on disk, ${byteLengthOf(constant)} bytes`;
  if (sizeOf(dims) <= shown && (dtype === 'string' || isNumeric(dtype))) {
    return `${type} = ${dtype === 'string' ? JSON.stringify(data) : `[${numbersOf(constant).join(', ')}]`}`;
  }
  const bytes = data instanceof Uint8Array ? data : JSON.stringify(data);
  return `${type} sha256:${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}`;
}

function printAttribute(attribute: Attribute): string {
  switch (attribute.type) {
    case 'float':
    case 'int':
      return String(attribute.value);
    case 'string':
    case 'strings':
      return JSON.stringify(attribute.value);
    case 'floats':
    case 'ints':
      return `[${attribute.value.join(', ')}]`;
    case 'tensor':
      return printTensor(attribute.value);
    case 'tensors':
      return `[${attribute.value.map(printTensor).join(', ')}]`;
    case 'opaque':
      return `opaque, ${attribute.value.length} bytes`;
    default:
      return '[]';
  }
}
