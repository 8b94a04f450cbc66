import { z } from 'zod';
import { consumersOf, type Model, type Node } from '../../../ir/graph.js';
import { freshNames, liftConstants, removeDead } from '../../../ir/rewrite.js';
import type { Tensor } from '../../../ir/tensor.js';
import { definePass } from '../../../plugin/api.js';
import { labelOf } from './dense-layer.js';
import {
  countReads,
  magnitudesOf,
  readConstant,
  readWeighted,
  scaleConstant,
  type WeightedLayer,
} from './weighted-layer.js';

/** Operators that give s · y for s · x, s > 0, and leave channels where they are. */
const homogeneous = new Set([
  'Relu',
  'LeakyRelu',
  'MaxPool',
  'AveragePool',
  'GlobalAveragePool',
  'GlobalMaxPool',
]);
const bounded = new Set(['Clip', 'Sigmoid', 'HardSigmoid', 'HardSwish', 'Tanh', 'Gelu', 'Erf']);

/** Each round evens a layer out with both its neighbours; the paper's iteration converges within some tens. */
const mostRounds = 40;
/** Channels that are even to this factor are left. */
const tolerance = 1.01;

/** Layers of which the first feeds the second alone. */
interface Pair {
  readonly first: WeightedLayer;
  readonly second: WeightedLayer;
}

/**
 * What: scales the channels between two layers so that both have weights of like size for each: s = √(r₁ / r₂), with the
 * first layer's weights and bias divided by s and the second's multiplied by it (Nagel et al., arXiv:1906.04721, sec. 4.1).
 * Why: one scale for a whole matrix, or for all channels of an activation, rounds small channels away beside large ones.
 * Preconditions: nothing between the layers but what passes a positive factor on, such as Relu; Clip at 6 does not.
 * Example: Conv → Relu → Conv whose channels differ a hundredfold have weights of like size in all of them.
 */
export const equalizeLayersPass = definePass<Record<string, never>>({
  name: 'equalizeLayers',
  summary: 'Even out the channels between layers, so that integers fit all of them.',
  options: z.strictObject({}),
  version: 1,
  async run(given) {
    const model: Model = { ...given, graph: liftConstants(given.graph) };
    const { pairs, skipped } = findPairs(model);
    const weights = new Map<Node, Float32Array>();
    for (const { first, second } of pairs) {
      for (const { node, weight } of [first, second]) weights.set(node, (await readConstant(weight, model))!);
    }
    const factors = solve(pairs, weights);
    const fresh = freshNames(model.graph);
    const initializers = new Map(model.graph.initializers);
    const inputs = new Map<Node, string[]>();
    const put = (node: Node, index: number, constant: Tensor): void => {
      const names = inputs.get(node) ?? [...node.inputs];
      names[index] = fresh(`${node.inputs[index]}_even`);
      initializers.set(names[index], constant);
      inputs.set(node, names);
    };
    const layers = new Map(
      [...pairs].flatMap(
        ({ first, second }) =>
          [
            [first.node, first],
            [second.node, second],
          ] as const,
      ),
    );
    const applied: { node: string; note: string }[] = [];
    for (const [node, layer] of layers) {
      const { into, out } = factors.get(node) ?? {};
      if (!into && !out) continue;
      const dims = initializers.get(layer.weight)!.dims;
      const scaled = weights
        .get(node)!
        .map((value, at) => value * (into?.[layer.inputOf(at)] ?? 1) * (out?.[layer.outputOf(at)] ?? 1));
      put(
        node,
        1,
        scaleConstant({ dims }, scaled, Float64Array.of(1), () => 0),
      );
      if (out && layer.bias !== undefined) {
        const bias = (await readConstant(layer.bias, model))!;
        put(node, 2, scaleConstant(initializers.get(layer.bias)!, bias, out));
      }
      if (out)
        applied.push({
          node: labelOf(node),
          note: `${layer.outputs} channels, by up to ${spreadOf(out).toPrecision(3)}`,
        });
    }
    if (applied.length === 0) return { model: given, report: { changed: false, applied, skipped } };
    const nodes = model.graph.nodes.map((node) =>
      inputs.has(node) ? { ...node, inputs: inputs.get(node)! } : node,
    );
    return {
      model: { ...model, graph: removeDead({ ...model.graph, nodes, initializers }) },
      report: { changed: true, applied, skipped },
    };
  },
});

function spreadOf(factors: Float64Array): number {
  return Math.max(...factors) / Math.min(...factors);
}

function findPairs(model: Model): { pairs: Pair[]; skipped: { node: string; reason: string }[] } {
  const { graph } = model;
  const consumers = consumersOf(graph);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const pairs: Pair[] = [];
  const skipped: { node: string; reason: string }[] = [];
  // Weights that two layers share cannot be scaled for one of them.
  const uses = countReads(graph);
  const read = (node: Node): WeightedLayer | undefined => {
    const layer = readWeighted(node, model);
    return layer && uses.get(layer.weight) === 1 ? layer : undefined;
  };
  for (const node of graph.nodes) {
    const first = read(node);
    if (!first || !hasPlainBias(first, model)) continue;
    let value = first.output;
    for (;;) {
      const [next, ...others] = consumers.get(value) ?? [];
      if (!next || others.length > 0 || outputs.has(value) || next.inputs[0] !== value || next.domain !== '')
        break;
      const second = read(next);
      if (second) {
        const fits = second.isImage === first.isImage && second.inputs === first.outputs;
        if (fits) pairs.push({ first, second });
        break;
      }
      if (bounded.has(next.op)) {
        skipped.push({ node: labelOf(node), reason: `the ${next.op} behind it takes no factor through` });
      }
      if (!homogeneous.has(next.op) || next.outputs.length > 1) break;
      value = next.outputs[0]!;
    }
  }
  return { pairs, skipped };
}

function hasPlainBias({ bias, outputs }: WeightedLayer, { graph }: Model): boolean {
  if (bias === undefined) return true;
  const constant = graph.initializers.get(bias);
  return constant?.dtype === 'float32' && constant.dims.length === 1 && constant.dims[0] === outputs;
}

interface Factors {
  /** Of each input channel of the weights. */
  into?: Float64Array;
  /** Of each output channel of the weights, and of the bias. */
  out?: Float64Array;
}

/** Rounds of s = √(r₁ / r₂) over all pairs, until nothing moves. */
function solve(pairs: readonly Pair[], weights: ReadonlyMap<Node, Float32Array>): Map<Node, Factors> {
  const factors = new Map<Node, Factors>();
  const current = new Map([...weights].map(([node, values]) => [node, values.slice()]));
  for (let round = 0; round < mostRounds; round++) {
    let isDone = true;
    for (const { first, second } of pairs) {
      const [one, two] = [current.get(first.node)!, current.get(second.node)!];
      const r1 = magnitudesOf(one, first.outputs, first.outputOf);
      const r2 = magnitudesOf(two, second.inputs, second.inputOf);
      const scale = r1.map((range, channel) => {
        const factor = Math.sqrt(range / r2[channel]!);
        // A channel that is dead on either side has no say.
        return Number.isFinite(factor) && factor > 0 ? factor : 1;
      });
      if (scale.every((factor) => factor < tolerance && factor > 1 / tolerance)) continue;
      isDone = false;
      one.forEach((value, at) => (one[at] = value / scale[first.outputOf(at)]!));
      two.forEach((value, at) => (two[at] = value * scale[second.inputOf(at)]!));
      const out = (of(factors, first.node).out ??= new Float64Array(first.outputs).fill(1));
      const into = (of(factors, second.node).into ??= new Float64Array(second.inputs).fill(1));
      scale.forEach((factor, channel) => {
        out[channel]! /= factor;
        into[channel]! *= factor;
      });
    }
    if (isDone) break;
  }
  return factors;
}

function of(factors: Map<Node, Factors>, node: Node): Factors {
  const found = factors.get(node) ?? {};
  factors.set(node, found);
  return found;
}
