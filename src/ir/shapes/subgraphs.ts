import { numberAttribute, numbersAttribute, subgraphsOf, type Dim, type ValueType } from '../graph.js';
import { fromFront, type Shape, type ShapeRule, type ShapeRules } from './rule.js';

/** A type without the axis that steps are counted along. */
export function slice(type: ValueType | undefined, axis: number): ValueType | undefined {
  const { dtype, shape } = type ?? {};
  if (!dtype) return undefined;
  const at = shape && fromFront(axis, shape.length);
  return { dtype, shape: shape?.filter((_, index) => index !== at) };
}

/** The states keep their types; what each step gives is stacked along an axis, the first unless the node says another. */
const scan: ShapeRule = (site) => {
  const [body] = subgraphsOf(site.node);
  const { inputs, outputs } = site.node;
  const count = numberAttribute(site.node, 'num_scan_inputs', 0);
  const states = inputs.length - count;
  const axesIn = numbersAttribute(site.node, 'scan_input_axes') ?? [];
  const axesOut = numbersAttribute(site.node, 'scan_output_axes') ?? [];
  const axisOf = (at: number): number => axesIn[at] ?? 0;
  const first = site.shape(states);
  const steps = first?.[fromFront(axisOf(0), first.length)];
  const each = inputs.map((_, index) =>
    index < states ? site.input(index) : slice(site.input(index), axisOf(index - states)),
  );
  const given = body ? site.inferBody(body, each) : [];
  return outputs.map((_, index): ValueType | undefined => {
    if (index < states) return site.input(index) ?? given[index];
    const stated = body?.outputs[index];
    const type = given[index] ?? (stated?.dtype && { dtype: stated.dtype, shape: stated.shape });
    return type && { dtype: type.dtype, shape: stack(type.shape, steps, axesOut[index - states] ?? 0) };
  });
};

function stack(shape: Shape, steps: Dim | undefined, axis: number): Shape {
  if (!shape || steps === undefined) return undefined;
  const at = fromFront(axis, shape.length + 1);
  return [...shape.slice(0, at), steps, ...shape.slice(at)];
}

/** The sizes that two shapes share, and names for the others. */
function agreed(one: Shape, other: Shape, fresh: (axis: number) => string): Shape {
  if (one?.length !== other?.length) return undefined;
  return one?.map((dim, axis) => (dim === other![axis] ? dim : fresh(axis)));
}

/** States may change their sizes from step to step: only those that the body keeps are known. */
const loop: ShapeRule = (site) => {
  const [body] = subgraphsOf(site.node);
  if (!body) return [];
  const before = site.node.inputs.slice(2).map((_, index) => site.input(index + 2));
  const given = site.inferBody(body, [
    { dtype: 'int64', shape: [] },
    { dtype: 'bool', shape: [] },
    ...before,
  ]);
  const steps = site.numbers(0)?.[0] ?? site.fresh(0, before.length);
  return site.node.outputs.map((_, index): ValueType | undefined => {
    const after = given[index + 1];
    if (!after) return undefined;
    if (index >= before.length) return { dtype: after.dtype, shape: stack(after.shape, steps, 0) };
    return {
      dtype: after.dtype,
      shape: agreed(before[index]?.shape, after.shape, (axis) => site.fresh(axis, index)),
    };
  });
};

/** What both branches agree on. */
const branch: ShapeRule = (site) => {
  const branches = subgraphsOf(site.node).map((body) => site.inferBody(body, []));
  return site.node.outputs.map((_, index): ValueType | undefined => {
    const [one, other] = branches.map((types) => types[index]);
    if (!one || one.dtype !== other?.dtype) return undefined;
    return { dtype: one.dtype, shape: agreed(one.shape, other.shape, (axis) => site.fresh(axis, index)) };
  });
};

export const branching: ShapeRules = { Scan: scan, Loop: loop, If: branch };
