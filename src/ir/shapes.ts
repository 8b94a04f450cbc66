import type { Graph, Model, Node, ValueType } from './graph.js';
import { attentions } from './shapes/attention.js';
import { einsum } from './shapes/einsum.js';
import { elementwise } from './shapes/elementwise.js';
import { layout } from './shapes/layout.js';
import { linear } from './shapes/linear.js';
import { classic, quantization } from './shapes/quantize.js';
import { recurrence } from './shapes/recurrent.js';
import { reductions } from './shapes/reduce.js';
import {
  Site,
  type ConstantLookup,
  type InferBody,
  type ShapeRules,
  type TypeLookup,
} from './shapes/rule.js';
import { branching } from './shapes/subgraphs.js';

export type { ConstantLookup, TypeLookup } from './shapes/rule.js';

/** Rules by operator; those outside ai.onnx by `domain:operator`. */
export const shapeRules: ShapeRules = {
  ...elementwise,
  ...linear,
  ...layout,
  ...einsum,
  ...reductions,
  ...recurrence,
  ...branching,
  ...attentions,
  ...quantization,
  ...classic,
};

/** Types of a node's outputs, in order; undefined where nothing can be said. Never throws on unknown operators. */
export function inferNode(
  node: Node,
  typeOf: TypeLookup,
  constantOf: ConstantLookup,
): readonly (ValueType | undefined)[] {
  const domain = node.domain === 'ai.onnx' ? '' : node.domain;
  const rule = shapeRules[domain === '' ? node.op : `${domain}:${node.op}`];
  if (!rule) return [];
  const inferBody: InferBody = (body, inputs) => {
    const outer = new Map(body.inputs.map(({ name }, index) => [name, inputs[index]]));
    const types = infer(body, (name) => outer.get(name) ?? typeOf(name), constantOf);
    return body.outputs.map(({ name }) => types.get(name) ?? typeOf(name));
  };
  return rule(new Site(node, typeOf, constantOf, inferBody));
}

/**
 * Types of every value of a graph, by name: what its inputs, initializers and `values` state, completed by inference.
 * Values of subgraphs are not included.
 */
export function inferTypes(of: Model | Graph): Map<string, ValueType> {
  return infer(
    'graph' in of ? of.graph : of,
    () => undefined,
    () => undefined,
  );
}

/** @param outerType What is known of the graph's inputs, and of values around it. */
function infer(graph: Graph, outerType: TypeLookup, outerConstant: ConstantLookup): Map<string, ValueType> {
  const types = new Map<string, ValueType>();
  for (const { name, dtype, shape } of [...graph.values.values(), ...graph.outputs, ...graph.inputs]) {
    if (dtype) types.set(name, { dtype, shape });
  }
  for (const { name } of graph.inputs) {
    const type = refine(name, types.get(name), outerType(name));
    if (type) types.set(name, type);
  }
  for (const [name, { dtype, dims }] of graph.initializers) types.set(name, { dtype, shape: dims });
  for (const node of graph.nodes) {
    const inferred = inferNode(
      node,
      (name) => types.get(name) ?? outerType(name),
      (name) => graph.initializers.get(name) ?? outerConstant(name),
    );
    node.outputs.forEach((name, index) => {
      const type = refine(name, types.get(name), inferred[index]);
      if (name !== '' && type) types.set(name, type);
    });
  }
  return types;
}

/** Brings together what a file states of the value `name` and what was inferred, dim by dim the one that says more. */
export function refine(
  name: string,
  stated: ValueType | undefined,
  inferred: ValueType | undefined,
): ValueType | undefined {
  if (!inferred?.shape) return stated ?? inferred;
  if (stated?.shape?.length !== inferred.shape.length) return inferred;
  const known = stated.shape;
  const shape = inferred.shape.map((dim, axis) => {
    if (typeof dim === 'number') return dim;
    const other = known[axis]!;
    return typeof other === 'number' || dim.startsWith(`${name}_d`) ? other : dim;
  });
  return { ...inferred, shape };
}
