import { MaasError } from '../errors.js';
import type { GraphBuilder } from './builder.js';
import { activationGradients } from './gradient/activations.js';
import { convolutionGradients } from './gradient/conv.js';
import { einsumGradients } from './gradient/einsum.js';
import { elementwiseGradients } from './gradient/elementwise.js';
import { expansions } from './gradient/expansions.js';
import { layoutGradients } from './gradient/layout.js';
import { linearGradients } from './gradient/linear.js';
import { normalizationGradients } from './gradient/normalize.js';
import { poolGradients } from './gradient/pool.js';
import { quantizationGradients } from './gradient/quantize.js';
import { rearrangementGradients } from './gradient/rearrange.js';
import { recurrentGradients } from './gradient/recurrent.js';
import { reduceGradients } from './gradient/reduce.js';
import {
  capturedBy,
  describe,
  GradientSite,
  sum,
  type GradientRule,
  type GradientRules,
  type Seed,
} from './gradient/rule.js';
import { subgraphGradients } from './gradient/subgraphs.js';
import { attr, readsOf, type Dim, type Node } from './graph.js';
import type { NumericDType } from './tensor.js';

/**
 * Vector–Jacobian products by operator; those outside ai.onnx by `domain:operator`. They emit standard ONNX operators
 * (operator set 16 or later), and com.microsoft:FusedMatMul where it saves a transposed copy.
 */
export const gradientRules: GradientRules = {
  ...elementwiseGradients,
  ...linearGradients,
  ...reduceGradients,
  ...layoutGradients,
  ...convolutionGradients,
  ...poolGradients,
  ...normalizationGradients,
  ...activationGradients,
  ...rearrangementGradients,
  ...einsumGradients,
  ...recurrentGradients,
  ...subgraphGradients,
  ...quantizationGradients,
};

/** Rules that look at the gradients of all outputs; the others know only the first. */
const ofAllOutputs = new Set(['Split', 'LSTM', 'GRU', 'RNN', ...Object.keys(subgraphGradients)]);

/**
 * Emits the backward pass of what `g` holds so far: the gradients of the scalar `loss` with respect to `wanted`.
 * @returns the gradient of each wanted value, in its shape; values that the loss does not depend on are left out.
 * @throws MaasError MAAS_MODEL_UNSUPPORTED when an operator between the two has no rule.
 */
export function gradients(g: GraphBuilder, loss: string, wanted: Iterable<string>): Map<string, string> {
  const dtype = (g.typeOf(loss)?.dtype ?? 'float32') as NumericDType;
  return pullBack(g, [[loss, g.scalar(1, dtype)]], wanted);
}

/** The same from the gradients of any values, each in the value's shape. */
export function pullBack(
  g: GraphBuilder,
  seeds: readonly Seed[],
  wanted: Iterable<string>,
): Map<string, string> {
  const targets = [...wanted];
  const ends = seeds.map(([name]) => name);
  const large = pathBack(g, ends, targets).filter(({ node }) => keyOf(node) in expansions);
  for (const { node, moving } of large) expand(g, node, moving);
  const path = pathBack(g, ends, targets);
  const total = new Map<string, string>();
  const addTo = (name: string, partial: string): void => {
    const sofar = total.get(name);
    total.set(name, sofar === undefined ? partial : g.op('Add', [sofar, partial]));
  };
  for (const [name, gradient] of seeds) addTo(name, gradient);
  // All rules before the first gradient: a node without one is named before others complain of what it left unknown.
  const rules = path.map(({ node }) => ruleOf(node));

  for (const [step, { node, moving }] of path.entries()) {
    const dys = node.outputs.map((name) => total.get(name));
    if (dys.every((dy) => dy === undefined)) continue;
    const site = new GradientSite(g, node, dys, { moving, pullBack });
    if (!ofAllOutputs.has(node.op) && dys.slice(1).some((dy) => dy !== undefined)) {
      site.refuse('the loss depends on one of its further outputs');
    }
    const derivatives = rules[step]!(site);
    [...node.inputs, ...capturedBy(node)].forEach((name, index) => {
      const derivative = derivatives[index];
      if (moving.has(name) && derivative) addTo(name, sumToShapeOf(g, derivative(), name));
    });
  }
  return new Map(targets.flatMap((name) => (total.has(name) ? [[name, total.get(name)!]] : [])));
}

interface Step {
  readonly node: Node;
  /** What the node reads that changes with what is wanted. */
  readonly moving: ReadonlySet<string>;
}

/** The nodes that lie between `roots` and `ends`, the last first. */
function pathBack(g: GraphBuilder, ends: readonly string[], roots: readonly string[]): Step[] {
  const moving = new Set(roots);
  for (const node of g.nodes) {
    if (!readsOf(node).some((name) => moving.has(name))) continue;
    for (const name of node.outputs) {
      const dtype = g.typeOf(name)?.dtype;
      // Nothing flows through integers: they change in steps. Only those that numbers are rounded to count as numbers.
      const flows = dtype === undefined || dtype.includes('float') || keyOf(node) === 'QuantizeLinear';
      if (name !== '' && flows && !g.stopsGradient(name)) moving.add(name);
    }
  }
  const needed = new Set(ends);
  return [...g.nodes].reverse().flatMap((node) => {
    const inputs = readsOf(node).filter((name) => moving.has(name));
    if (inputs.length === 0 || !node.outputs.some((name) => needed.has(name) && moving.has(name))) return [];
    for (const name of inputs) needed.add(name);
    return [{ node, moving: new Set(inputs) }];
  });
}

function keyOf({ op, domain }: Node): string {
  return domain === '' || domain === 'ai.onnx' ? op : `${domain}:${op}`;
}

/** Puts what computes the same in the place of a node. */
function expand(g: GraphBuilder, node: Node, moving: ReadonlySet<string>): void {
  g.replace(node, () => {
    const values = expansions[keyOf(node)]!(new GradientSite(g, node, [], { moving, pullBack }));
    node.outputs.forEach((name, index) => {
      const value = values[index] ?? '';
      if (name === '' || value === '') return;
      g.add({ op: 'Identity', domain: '', name, inputs: [value], outputs: [name], attributes: {} });
    });
  });
}

function ruleOf(node: Node): GradientRule {
  const rule = gradientRules[keyOf(node)];
  if (rule) return rule;
  throw new MaasError(
    'MAAS_MODEL_UNSUPPORTED',
    `cannot train through ${describe(node)}: it has no gradient rule`,
    {
      hint: 'Freeze the parameters up to that node, or build the model from other operators.',
      details: { op: node.op, domain: node.domain, node: node.name },
    },
  );
}

/**
 * Undoes broadcasting: sums `gradient` over the axes along which `name` was repeated. Where a symbolic size may turn
 * out to be 1, the axes are found when the graph runs.
 */
function sumToShapeOf(g: GraphBuilder, gradient: string, name: string): string {
  const to = g.typeOf(name)?.shape;
  const from = g.typeOf(gradient)?.shape;
  if (!to || !from) return gradient;
  const added = from.length - to.length;
  const trimmed = added > 0 ? sum(g, gradient, [...Array(added).keys()], false) : gradient;
  const sizes = from.slice(Math.max(added, 0));
  if (to.some((size, axis) => mayBeOne(size, sizes[axis]!))) {
    const ones = g.op('NonZero', [g.op('Equal', [g.op('Shape', [name]), g.int64s([1])])]);
    return g.op('ReduceSum', [trimmed, g.op('Reshape', [ones, g.int64s([-1])])], {
      noop_with_empty_axes: attr.int(1),
    });
  }
  const repeated = to.flatMap((size, axis) => (size === 1 && sizes[axis] !== 1 ? [axis] : []));
  return repeated.length > 0 ? sum(g, trimmed, repeated) : trimmed;
}

function mayBeOne(size: Dim, gradientSize: Dim): boolean {
  return typeof size === 'string' && size !== gradientSize;
}
