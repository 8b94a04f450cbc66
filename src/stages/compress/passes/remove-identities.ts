import {
  numberAttribute,
  numbersAttribute,
  type Graph,
  type Model,
  type Node,
  type ValueType,
} from '../../../ir/graph.js';
import { removeDead, renameReads, replaceNodes, stripDropout } from '../../../ir/rewrite.js';
import { inferTypes } from '../../../ir/shapes.js';
import { dtypes, isFileRange, isNumeric, valuesOf, type Tensor } from '../../../ir/tensor.js';
import { defineCleanup } from './cleanup/cleanup.js';
import { labelOf } from './dense-layer.js';

/**
 * What: removes nodes that give back their input, and nodes and weights that no output depends on.
 * Why: they are left behind by exporters and by other passes; each costs a call, some a copy.
 * Example: Add(Dropout(x), 0) → x.
 */
export const removeIdentitiesPass = defineCleanup(
  'removeIdentities',
  'Remove nodes that change nothing, and what nothing reads.',
  (model) => {
    const types = inferTypes(model);
    const outputs = new Set(model.graph.outputs.map(({ name }) => name));
    const names = new Map<string, string>();
    const applied: { node: string; note: string }[] = [];
    const undropped = stripDropout(model.graph);
    const left = new Set(undropped.nodes.map((node) => node.name + node.outputs.join()));
    for (const node of model.graph.nodes) {
      if (!left.has(node.name + node.outputs.join())) applied.push({ node: labelOf(node), note: node.op });
    }
    const graph = replaceNodes(undropped, (node) => {
      const output = node.outputs[0];
      if (output === undefined || node.outputs.slice(1).some(Boolean) || outputs.has(output))
        return undefined;
      const source = sourceOf(node, model, types);
      if (source === undefined) return undefined;
      names.set(output, names.get(source) ?? source);
      applied.push({ node: labelOf(node), note: `${node.op} of ${source}` });
      return { nodes: [] };
    });
    const dead = deadNodes(graph, names);
    applied.push(...dead.map((node) => ({ node: labelOf(node), note: `nothing reads it (${node.op})` })));
    return { graph: renameReads(graph, names), applied };
  },
);

/** The input that a node gives back unchanged. */
function sourceOf(node: Node, { graph }: Model, types: ReadonlyMap<string, ValueType>): string | undefined {
  if (node.domain !== '') return undefined;
  const [first = '', second = ''] = node.inputs;
  const constant = (name: string): Tensor | undefined => graph.initializers.get(name);
  const isSame = (): boolean => {
    const [from, to] = [types.get(first)?.shape, types.get(node.outputs[0]!)?.shape];
    // An axis without a name may be any size.
    return !!from && from.length === to?.length && from.every((dim, axis) => dim !== '' && dim === to[axis]);
  };
  const filledWith = (name: string, value: number): boolean => {
    const tensor = constant(name);
    if (!tensor || isFileRange(tensor.data) || !isNumeric(tensor.dtype) || tensor.dtype.includes('float16'))
      return false;
    return Array.from(valuesOf(tensor) as ArrayLike<number | bigint>, Number).every((each) =>
      Object.is(each, value),
    );
  };
  switch (node.op) {
    case 'Identity':
      return first;
    case 'Cast':
      return types.get(first)?.dtype === dtypes[numberAttribute(node, 'to', 0) - 1] ? first : undefined;
    case 'Transpose':
      return numbersAttribute(node, 'perm')?.every((axis, at) => axis === at) ? first : undefined;
    case 'Concat':
    case 'Sum':
    case 'Max':
    case 'Min':
    case 'Mean':
      return node.inputs.length === 1 ? first : undefined;
    case 'Reshape':
    case 'Expand':
    case 'Squeeze':
    case 'Unsqueeze':
    case 'Flatten':
    case 'Tile':
      return isSame() ? first : undefined;
    case 'Pad':
      return node.inputs.length > 1 && filledWith(second, 0) ? first : undefined;
    case 'Mul':
    case 'Add': {
      // A 0 that is added turns −0 into 0, which no one can tell but by dividing by it.
      const neutral = node.op === 'Mul' ? 1 : 0;
      const [data, other] = constant(second) ? [first, second] : [second, first];
      if (!constant(other) || constant(data) || !filledWith(other, neutral)) return undefined;
      const [wide, narrow] = [types.get(data)?.shape, constant(other)!.dims];
      const fits = wide && narrow.length <= wide.length && narrow.every((dim) => dim === 1);
      return fits ? data : undefined;
    }
    case 'Sub':
    case 'Div': {
      if (!constant(second) || !filledWith(second, node.op === 'Div' ? 1 : 0)) return undefined;
      const [wide, narrow] = [types.get(first)?.shape, constant(second)!.dims];
      return wide && narrow.length <= wide.length && narrow.every((dim) => dim === 1) ? first : undefined;
    }
    default:
      return undefined;
  }
}

/** Nodes that no output depends on, apart from those that only the removed ones have read. */
function deadNodes(graph: Graph, names: ReadonlyMap<string, string>): Node[] {
  const renamed = renameReads(graph, names);
  const live = new Set(removeDead(renamed).nodes.map((node) => node.outputs.join()));
  return renamed.nodes.filter((node) => !live.has(node.outputs.join()));
}
