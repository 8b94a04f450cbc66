import { attr, consumersOf, producersOf, type Model, type Node } from '../../../../ir/graph.js';
import { loadTensor } from '../../../../ir/onnx/external.js';
import { freshNames, removeDead, replaceNodes, type Replacement } from '../../../../ir/rewrite.js';
import { tensor, valuesOf, type Tensor } from '../../../../ir/tensor.js';
import { constantAt, labelOf } from '../dense-layer.js';
import { quantizeMatrix, type QuantizedMatrix } from '../quantize-matrix.js';
import { gridOf, type Grid, type Range } from './ranges.js';

/** The operator set whose QuantizeLinear and DequantizeLinear take a scale for each channel. */
const leastOpset = 13;

/** Convolutions of images that can be computed with integers, and what has to be known of the model for it. */
export interface Convolutions {
  /** Convolution → its weights as integers, a column for each output channel. */
  readonly chosen: ReadonlyMap<Node, QuantizedMatrix>;
  readonly skipped: readonly { readonly node: string; readonly reason: string }[];
  /** Sums of two quantized values, which are computed with integers too. */
  readonly sums: readonly Node[];
  /** Values whose range must be known: inputs of convolutions, and what comes out behind their activations. */
  readonly values: readonly string[];
}

export interface ConvolutionOptions {
  readonly perChannel: boolean;
  readonly largest: number;
  /** Why the user does not want a node, or the number of weights it has, to be quantized. */
  readonly refuse: (node: Node, rows: number, columns: number) => string | undefined;
}

/** @param model Its constants are initializers, and its batch normalizations are folded. */
export async function findConvolutions(model: Model, options: ConvolutionOptions): Promise<Convolutions> {
  const { graph } = model;
  const chosen = new Map<Node, QuantizedMatrix>();
  const skipped: { node: string; reason: string }[] = [];
  for (const node of graph.nodes) {
    if (node.op !== 'Conv' || node.domain !== '') continue;
    const found = await quantizeWeights(node, model, options);
    if (typeof found === 'string') skipped.push({ node: labelOf(node), reason: found });
    else chosen.set(node, found);
  }
  const chains = chainsOf(model);
  const ends = new Set([...chosen.keys()].map((node) => chains.endOf(node)));
  const sums: Node[] = [];
  // Nodes stand in order, so that a sum of sums finds the inner one done.
  for (const node of graph.nodes) {
    const isSum = node.op === 'Add' && node.domain === '' && node.inputs.every((name) => ends.has(name));
    if (!isSum || chains.isOutput(chains.endOf(node))) continue;
    sums.push(node);
    ends.add(chains.endOf(node));
  }
  const inputs = [...chosen.keys()].map((node) => chains.sourceOf(node.inputs[0]!));
  return { chosen, skipped, sums, values: [...new Set([...inputs, ...ends])] };
}

/** @returns the reason when they stay as they are. */
async function quantizeWeights(
  node: Node,
  model: Model,
  { perChannel, largest, refuse }: ConvolutionOptions,
): Promise<QuantizedMatrix | string> {
  const { graph, irVersion, opsets } = model;
  const [input = '', name = '', bias = ''] = node.inputs;
  const opset = opsets[''] ?? 0;
  if (opset < leastOpset) return `operator set ${opset} is older than ${leastOpset}`;
  const weight = constantAt(name, graph, irVersion);
  if (weight?.dtype !== 'float32') return 'its weights are not constant float32';
  if (bias !== '' && constantAt(bias, graph, irVersion)?.dtype !== 'float32')
    return 'its bias is not constant float32';
  if (weight.dims.length !== 4) return 'only convolutions of images are faster with integers';
  if (graph.initializers.has(input)) return 'its input is constant';
  const chains = chainsOf(model);
  if (chains.isOutput(chains.endOf(node))) return 'its result is an output of the model';
  const columns = weight.dims[0]!;
  const rows = weight.dims.slice(1).reduce((product, dim) => product * dim, 1);
  const refused = refuse(node, rows, columns);
  if (refused !== undefined) return refused;
  const values = valuesOf(await loadTensor(weight)) as Float32Array;
  return (
    quantizeMatrix(values, { rows, columns, transposed: true, perChannel, largest }) ??
    'its weights are not finite'
  );
}

/** Operators whose outputs are elements of their input: both lie on one grid. */
const rearranging = new Set([
  'MaxPool',
  'Flatten',
  'Reshape',
  'Transpose',
  'Squeeze',
  'Unsqueeze',
  'Identity',
]);

/** What lies between layers that compute with integers. */
export interface Chains {
  /** What a layer gives behind the Relu or Clip that nothing but it feeds. */
  endOf(node: Node): string;
  /** The node between a layer and its end. */
  activationOf(node: Node): Node | undefined;
  /** The value whose elements these are. */
  sourceOf(name: string): string;
  isOutput(name: string): boolean;
}

export function chainsOf({ graph }: Model): Chains {
  const producers = producersOf(graph);
  const consumers = consumersOf(graph);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const activationOf = (node: Node): Node | undefined => {
    const output = node.outputs[0]!;
    const [next, ...others] = consumers.get(output) ?? [];
    if (!next || others.length > 0 || outputs.has(output) || next.domain !== '') return undefined;
    const bounded = next.op === 'Clip' && next.inputs.slice(1).every((name) => graph.initializers.has(name));
    return next.op === 'Relu' || bounded ? next : undefined;
  };
  return {
    activationOf,
    endOf: (node) => (activationOf(node) ?? node).outputs[0]!,
    sourceOf(name) {
      const node = producers.get(name);
      const keeps = node?.domain === '' && rearranging.has(node.op) && !node.outputs[1];
      return keeps ? this.sourceOf(node.inputs[0]!) : name;
    },
    isOutput: (name) => outputs.has(name),
  };
}

/**
 * Writes QuantizeLinear and DequantizeLinear around convolutions and sums, which onnxruntime fuses into QLinearConv and
 * QLinearAdd. What lies between two of them stays uint8: the output is quantized as well as the input, because
 * otherwise nothing is fused. Weights are int8 with a scale for each channel, biases int32 on the products' grid.
 * @param ranges Of `values`.
 */
export async function quantizeConvolutions(
  model: Model,
  { chosen, sums }: Convolutions,
  ranges: ReadonlyMap<string, Range>,
): Promise<Model> {
  const { graph } = model;
  const chains = chainsOf(model);
  const fresh = freshNames(graph);
  const grids = new Map<string, Grid>([...ranges].map(([name, range]) => [name, gridOf(range)]));
  const scales = new Map<string, [scale: string, zero: string]>();
  const ends = new Set([...chosen.keys(), ...sums].map((node) => chains.endOf(node)));
  const replacements = new Map<Node, Replacement>();

  for (const node of [...chosen.keys(), ...sums]) {
    const nodes: Node[] = [];
    const initializers: [string, Tensor][] = [];
    const add = (
      op: string,
      inputs: string[],
      output: string,
      attributes: Node['attributes'] = {},
    ): string => {
      nodes.push({
        op,
        domain: '',
        name: fresh(`${labelOf(node)}_${op}`),
        inputs,
        outputs: [output],
        attributes,
      });
      return output;
    };
    /** Names of the scale and the zero point of the value that `name` has its elements from. */
    const gridNames = (name: string): [string, string] => {
      const source = chains.sourceOf(name);
      let names = scales.get(source);
      if (!names) {
        names = [fresh(`${source}_scale`), fresh(`${source}_zero`)];
        scales.set(source, names);
        const { scale, zero } = grids.get(source)!;
        initializers.push(
          [names[0], tensor('float32', [], [scale])],
          [names[1], tensor('uint8', [], [zero])],
        );
      }
      return names;
    };
    const roundTrip = (from: string, grid: [string, string], to: string): string =>
      add('DequantizeLinear', [add('QuantizeLinear', [from, ...grid], fresh(`${from}_uint8`)), ...grid], to);

    const matrix = chosen.get(node);
    let inputs = node.inputs;
    if (matrix) {
      const input = node.inputs[0]!;
      // What a layer before it has left is on the grid already.
      const read = ends.has(input) ? input : roundTrip(input, gridNames(input), fresh(`${input}_rounded`));
      const integers = await integersOf(node, model, matrix, grids.get(chains.sourceOf(input))!);
      const weights = integers.map(({ name, values, scale, zero }) => {
        const names = [name, `${name}_scale`, `${name}_zero`].map(fresh) as [string, string, string];
        initializers.push([names[0], values], [names[1], scale], [names[2], zero]);
        const attributes: Node['attributes'] = scale.dims.length > 0 ? { axis: attr.int(0) } : {};
        return add('DequantizeLinear', names, fresh(`${name}_rounded`), attributes);
      });
      inputs = [read, ...weights];
    }
    const activation = chains.activationOf(node);
    const end = chains.endOf(node);
    let result = fresh(`${node.outputs[0]}_exact`);
    nodes.push({ ...node, inputs, outputs: [result] });
    if (activation) {
      const active = fresh(`${activation.outputs[0]}_exact`);
      nodes.push({ ...activation, inputs: [result, ...activation.inputs.slice(1)], outputs: [active] });
      replacements.set(activation, { nodes: [] });
      result = active;
    }
    roundTrip(result, gridNames(end), end);
    replacements.set(node, { nodes, initializers });
  }
  return { ...model, graph: removeDead(replaceNodes(graph, (node) => replacements.get(node))) };
}

interface Integers {
  readonly name: string;
  readonly values: Tensor;
  readonly scale: Tensor;
  readonly zero: Tensor;
}

/** A convolution's weights as int8, and its bias as int32 on the grid of its products: scale of the input · of the weights. */
async function integersOf(
  node: Node,
  { graph }: Model,
  { values, scales, perChannel }: QuantizedMatrix,
  input: Grid,
): Promise<Integers[]> {
  const [, name = '', biasName = ''] = node.inputs;
  const { dims } = graph.initializers.get(name)!;
  const channels = dims[0]!;
  const width = values.length / channels;
  // The matrix has a column for each channel, the weights a row.
  const turned = new Int8Array(values.length);
  for (let channel = 0; channel < channels; channel++) {
    for (let at = 0; at < width; at++) turned[channel * width + at] = values[at * channels + channel]!;
  }
  const each = perChannel ? [channels] : [];
  const weights = {
    name: `${name}_int8`,
    values: tensor('int8', dims, turned),
    scale: tensor('float32', each, scales),
    zero: tensor('int8', each, new Int8Array(scales.length)),
  };
  if (biasName === '') return [weights];
  const bias = valuesOf(await loadTensor(graph.initializers.get(biasName)!)) as Float32Array;
  const grid = scales.map((scale) => Math.fround(scale * input.scale));
  const most = 2 ** 31 - 1;
  const rounded = Int32Array.from(bias, (value, channel) =>
    Math.max(-most, Math.min(most, Math.round(value / grid[perChannel ? channel : 0]!))),
  );
  const offsets = {
    name: `${biasName}_int32`,
    values: tensor('int32', [channels], rounded),
    scale: tensor('float32', each, grid),
    zero: tensor('int32', each, new Int32Array(scales.length)),
  };
  return [weights, offsets];
}
