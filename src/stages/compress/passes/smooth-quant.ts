import { z } from 'zod';
import { consumersOf, producersOf, type Model, type Node } from '../../../ir/graph.js';
import { freshNames, liftConstants, removeDead } from '../../../ir/rewrite.js';
import { sizeOf, tensor, type Tensor } from '../../../ir/tensor.js';
import { definePass } from '../../../plugin/api.js';
import { labelOf } from './dense-layer.js';
import { observeMagnitudes } from './observe.js';
import {
  countReads,
  magnitudesOf,
  readConstant,
  readWeighted,
  scaleConstant,
  type WeightedLayer,
} from './weighted-layer.js';

const options = z.strictObject({
  alpha: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('How much of the difference between channels goes to the weights: 0 nothing, 1 all of it.'),
  samples: z
    .int()
    .min(1)
    .default(512)
    .describe('Rows to run, at most: of the validation split, then of the train split.'),
});
type SmoothOptions = z.output<typeof options>;

/** Channels that are even to this factor are left. */
const tolerance = 1.02;

/** A value that only dense layers read, and the nodes before it that can take factors of its channels. */
interface Group {
  readonly value: string;
  readonly layers: readonly WeightedLayer[];
  readonly channels: number;
  /** Constants to divide by the factors: the input of a node, and the channel of each number of it. */
  readonly absorbers: readonly {
    readonly node: Node;
    readonly index: number;
    readonly channelOf: (at: number) => number;
  }[];
}

/**
 * What: divides each channel j of a dense layer's input by s_j = max|x_j|^α / max|w_j|^(1−α), and multiplies the weights
 * that read it by s_j (SmoothQuant: Xiao et al., arXiv:2211.10438). The division is taken into what writes the input.
 * Why: a few channels of a transformer's activations are up to a hundred times as large as the others, which uint8 then
 * rounds away.
 * Preconditions: only dense layers with constant weights read the value, and a LayerNormalization, a Mul or Add by a
 * constant row, or a dense layer, with nothing but Relu behind it, writes it.
 * Example: LayerNormalization(x, γ, β) → MatMul(W) becomes LayerNormalization(x, γ / s, β / s) → MatMul(s ∘ W).
 */
export const smoothQuantPass = definePass<SmoothOptions>({
  name: 'smoothQuant',
  summary: 'Move outliers of activations into the weights, which stand integers better.',
  options,
  version: 1,
  async run(given, { alpha, samples }, context) {
    const model: Model = { ...given, graph: liftConstants(given.graph) };
    const { groups, skipped } = findGroups(model);
    const observed = groups.map(({ value, channels }) => ({ name: value, channels }));
    const batches = groups.length > 0 ? await context.calibration(samples) : [];
    const spread = await observeMagnitudes(model, observed, batches, context);
    const fresh = freshNames(model.graph);
    const initializers = new Map(model.graph.initializers);
    const inputs = new Map<Node, string[]>();
    const applied: { node: string; note: string }[] = [];
    const namesOf = (node: Node): string[] => {
      const names = inputs.get(node) ?? [...node.inputs];
      inputs.set(node, names);
      return names;
    };
    // A weight may have been scaled from its other side.
    const read = async (name: string): Promise<Float32Array> =>
      (await readConstant(name, { ...model, graph: { ...model.graph, initializers } }))!;
    const scale = async (
      node: Node,
      index: number,
      factors: Float64Array,
      channelOf: (at: number) => number,
    ) => {
      const names = namesOf(node);
      const constant = initializers.get(names[index]!)!;
      const values = await read(names[index]!);
      names[index] = fresh(`${node.inputs[index]}_smooth`);
      initializers.set(names[index], spreadConstant(constant, values, factors, channelOf));
    };
    // From the last: what is taken out of a layer's outputs counts when its inputs are weighed.
    for (const group of groups.toReversed()) {
      const activations = spread.get(group.value);
      const labels = group.layers.map(({ node }) => labelOf(node));
      if (!activations) {
        skipped.push(...labels.map((node) => ({ node, reason: 'there are no rows to calibrate on' })));
        continue;
      }
      const weights = new Float64Array(group.channels);
      for (const layer of group.layers) {
        const values = await read(namesOf(layer.node)[1]!);
        magnitudesOf(values, layer.inputs, layer.inputOf).forEach((size, channel) => {
          weights[channel] = Math.max(weights[channel]!, size);
        });
      }
      const factors = activations.map((size, channel) => {
        const factor = size ** alpha / weights[channel]! ** (1 - alpha);
        return Number.isFinite(factor) && factor > 0 ? factor : 1;
      });
      if (factors.every((factor) => factor < tolerance && factor > 1 / tolerance)) continue;
      for (const { node, inputOf } of group.layers) await scale(node, 1, factors, inputOf);
      const inverse = factors.map((factor) => 1 / factor);
      for (const { node, index, channelOf } of group.absorbers) await scale(node, index, inverse, channelOf);
      const most = Math.max(...factors) / Math.min(...factors);
      applied.unshift(
        ...labels.map((node) => ({
          node,
          note: `${group.channels} channels, by up to ${most.toPrecision(3)}`,
        })),
      );
    }
    if (applied.length === 0) return { model: given, report: { changed: false, applied, skipped } };
    const nodes = model.graph.nodes.map((node) => ({ ...node, inputs: inputs.get(node) ?? node.inputs }));
    return {
      model: { ...model, graph: removeDead({ ...model.graph, nodes, initializers }) },
      report: { changed: true, applied, skipped },
    };
  },
});

/** A single number becomes a row. */
function spreadConstant(
  constant: Tensor,
  values: Float32Array,
  factors: Float64Array,
  channelOf: (at: number) => number,
): Tensor {
  if (sizeOf(constant.dims) > 1 || factors.length === 1)
    return scaleConstant(constant, values, factors, channelOf);
  return tensor(
    'float32',
    [factors.length],
    Float32Array.from(factors, (factor) => factor * values[0]!),
  );
}

function findGroups(model: Model): { groups: Group[]; skipped: { node: string; reason: string }[] } {
  const { graph } = model;
  const consumers = consumersOf(graph);
  const groups: Group[] = [];
  const skipped: { node: string; reason: string }[] = [];
  const seen = new Set<string>();
  const uses = countReads(graph);
  for (const node of graph.nodes) {
    const layer = readWeighted(node, model);
    if (!layer || layer.isImage || seen.has(layer.input)) continue;
    seen.add(layer.input);
    const readers = (consumers.get(layer.input) ?? []).map((reader) => readWeighted(reader, model));
    const layers = readers.filter(
      (reader) => reader !== undefined && !reader.isImage && reader.input === layer.input,
    );
    const isTied = layers.some((each) => uses.get(each!.weight)! > 1);
    const isShared = layers.length < readers.length || isTied || isOutput(layer.input, model);
    const absorbers = isShared ? undefined : findAbsorbers(layer.input, layer.inputs, model, uses);
    if (absorbers)
      groups.push({
        value: layer.input,
        layers: layers as WeightedLayer[],
        channels: layer.inputs,
        absorbers,
      });
    else {
      const reason = isShared
        ? 'its input or its weights have other readers'
        : 'nothing before it can take a factor of a channel';
      skipped.push({ node: labelOf(node), reason });
    }
  }
  return { groups, skipped };
}

function isOutput(name: string, { graph }: Model): boolean {
  return graph.outputs.some((output) => output.name === name);
}

/** Walks up from a value to where its channels can be divided. */
function findAbsorbers(
  value: string,
  channels: number,
  model: Model,
  uses: ReadonlyMap<string, number>,
): Group['absorbers'] | undefined {
  const { graph } = model;
  const producers = producersOf(graph);
  const consumers = consumersOf(graph);
  const absorbers: { node: Node; index: number; channelOf: (at: number) => number }[] = [];
  const own = (at: number): number => at;
  const isRow = (name: string): boolean => {
    const constant = graph.initializers.get(name);
    if (constant?.dtype !== 'float32' || graph.inputs.some((input) => input.name === name)) return false;
    const size = sizeOf(constant.dims);
    return size === 1 ? constant.dims.length <= 1 : size === channels && constant.dims.at(-1) === channels;
  };
  for (let name = value; ;) {
    const node = producers.get(name);
    if (node?.domain !== '' || node.outputs.slice(1).some(Boolean)) return undefined;
    if (name !== value && (consumers.get(name)!.length > 1 || isOutput(name, model))) return undefined;
    const layer = readWeighted(node, model);
    if (layer) {
      const isPlain = !layer.isImage && (layer.bias === undefined || isRow(layer.bias));
      if (!isPlain || layer.outputs !== channels || uses.get(layer.weight)! > 1) return undefined;
      absorbers.push({ node, index: 1, channelOf: layer.outputOf });
      return layer.bias === undefined ? absorbers : [...absorbers, { node, index: 2, channelOf: own }];
    }
    if (node.op === 'LayerNormalization') {
      const [, gamma = '', beta = ''] = node.inputs;
      const isPlain = [gamma, beta].every(
        (each) => each === '' || (isRow(each) && sizeOf(graph.initializers.get(each)!.dims) === channels),
      );
      if (!isPlain || gamma === '') return undefined;
      absorbers.push({ node, index: 1, channelOf: own });
      return beta === '' ? absorbers : [...absorbers, { node, index: 2, channelOf: own }];
    }
    const at = node.inputs.findIndex(isRow);
    if ((node.op === 'Mul' || node.op === 'Add') && at >= 0) {
      absorbers.push({ node, index: at, channelOf: own });
      if (node.op === 'Mul') return absorbers;
      name = node.inputs[1 - at]!;
    } else if (node.op === 'Relu' || node.op === 'LeakyRelu') name = node.inputs[0]!;
    else return undefined;
  }
}
