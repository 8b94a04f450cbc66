import {
  attr,
  numberAttribute,
  numbersAttribute,
  type Graph,
  type Model,
  type Node,
  type ValueType,
} from '../../../../ir/graph.js';
import { loadTensor } from '../../../../ir/onnx/external.js';
import { freshNames, removeDead, replaceNodes, type Replacement } from '../../../../ir/rewrite.js';
import { inferTypes } from '../../../../ir/shapes.js';
import { tensor, valuesOf, type Tensor } from '../../../../ir/tensor.js';
import { constantAt, labelOf } from '../dense-layer.js';
import { quantizeMatrix, type QuantizedMatrix } from '../quantize-matrix.js';
import { chainsOf } from './chains.js';
import { gridOf, type Grid, type Range } from './ranges.js';

/** The operator set whose QuantizeLinear and DequantizeLinear take a scale for each channel. */
const leastOpset = 13;

/** Convolutions of images that can be computed with integers, and what has to be known of the model for it. */
export interface Convolutions {
  /** Convolution → its weights as integers, a column for each output channel. */
  readonly chosen: ReadonlyMap<Node, QuantizedMatrix>;
  readonly skipped: readonly { readonly node: string; readonly reason: string }[];
  /** What is computed of quantized values alone, for convolutions: it is computed with integers too. */
  readonly between: readonly Node[];
  /** Values whose range must be known: inputs of convolutions, and what comes out behind their activations. */
  readonly values: readonly string[];
}

export interface ConvolutionOptions {
  readonly perChannel: boolean;
  readonly largest: number;
  /** Leave those alone that would be slower. */
  readonly weigh: boolean;
  /** Why the user does not want a node, or the number of weights it has, to be quantized. */
  readonly refuse: (node: Node, rows: number, columns: number) => string | undefined;
}

/** @param model Its constants are initializers, and its batch normalizations are folded. */
export async function findConvolutions(model: Model, options: ConvolutionOptions): Promise<Convolutions> {
  const { graph } = model;
  const chosen = new Map<Node, QuantizedMatrix>();
  const small = new Map<Node, QuantizedMatrix>();
  const skipped: { node: string; reason: string }[] = [];
  const types = options.weigh ? inferTypes(model) : undefined;
  for (const node of graph.nodes) {
    if (node.op !== 'Conv' || node.domain !== '') continue;
    const found = await quantizeWeights(node, model, options);
    if (typeof found === 'string') skipped.push({ node: labelOf(node), reason: found });
    else (types && !pays(node, graph, types) ? small : chosen).set(node, found);
  }
  const chains = chainsOf(model);
  const isWanted = (node: Node): boolean => options.refuse(node, 1, Infinity) === undefined;
  let between = chains.between(new Set(chosen.keys()), isWanted);
  for (let grown = true; grown && small.size > 0;) {
    // Where both neighbours are integers, turning round to float32 and back costs more than a small convolution.
    const gaps = [...small].filter(([node]) => chains.closes(node, new Set(chosen.keys()), between));
    for (const [node, matrix] of gaps) {
      chosen.set(node, matrix);
      small.delete(node);
    }
    grown = gaps.length > 0;
    if (grown) between = chains.between(new Set(chosen.keys()), isWanted);
  }
  for (const node of small.keys()) {
    const reason = 'it multiplies too little for what it reads and writes: float32 is faster';
    skipped.push({ node: labelOf(node), reason });
  }
  const sources = [...chosen.keys()].map((node) => chains.sourceOf(node.inputs[0]!));
  const ends = [...chosen.keys(), ...between].map((node) => chains.endOf(node));
  return { chosen, skipped, between, values: [...new Set([...sources, ...ends])] };
}

/** Products that make up one number of the result, at least, where they have to be gathered from places of the image. */
const leastProducts = 32;
/** Products for each number that goes in or out, at least: with fewer, rounding and turning images round takes longer. */
const leastIntensity = 10;
/** Products for one image, at least: fewer are computed before a node that rounds has begun. */
const leastWork = 65_536;

/** Whether int8 makes a convolution faster that has float32 all round it. Where sizes are open they count as large. */
function pays(node: Node, { initializers }: Graph, types: ReadonlyMap<string, ValueType>): boolean {
  const [outputs, each, ...kernel] = initializers.get(node.inputs[1]!)!.dims as [number, number, ...number[]];
  const multiply = (sizes: readonly number[]): number => sizes.reduce((product, size) => product * size, 1);
  const products = each * multiply(kernel);
  const read = each * numberAttribute(node, 'group', 1) * multiply(numbersAttribute(node, 'strides') ?? []);
  if (multiply(kernel) > 1 && products < leastProducts) return false;
  const places = types.get(node.outputs[0]!)?.shape?.slice(2) ?? [];
  if (places.length > 0 && places.every((size): size is number => typeof size === 'number')) {
    if (products * outputs * multiply(places) < leastWork) return false;
  }
  return (products * outputs) / (read + outputs) >= leastIntensity;
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

/**
 * Writes QuantizeLinear and DequantizeLinear around convolutions and what is between them, which onnxruntime fuses into
 * QLinearConv, QLinearAdd and the like. What lies between two of them stays uint8: the output is quantized as well as the
 * input, because otherwise nothing is fused. Weights are int8 with a scale for each channel, biases int32 on the products' grid.
 * @param ranges Of `values`.
 */
export async function quantizeConvolutions(
  model: Model,
  { chosen, between }: Convolutions,
  ranges: ReadonlyMap<string, Range>,
): Promise<Model> {
  const { graph } = model;
  const chains = chainsOf(model);
  const fresh = freshNames(graph);
  const grids = new Map<string, Grid>([...ranges].map(([name, range]) => [name, gridOf(range)]));
  const scales = new Map<string, [scale: string, zero: string]>();
  const computed = new Set([...chosen.keys(), ...between]);
  const ends = new Set([...computed].map((node) => chains.endOf(node)));
  const rounded = new Map<string, string>();
  const zeros = new Map<string, string>();
  const replacements = new Map<Node, Replacement>();

  // In the order of the graph: what one has rounded others may read.
  for (const node of graph.nodes.filter((each) => computed.has(each))) {
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
    /** All layers as wide as this one read the same zero points, which would be a tenth of a small layer. */
    const zerosOf = (zero: Tensor): string => {
      const key = `${zero.dtype}_zeros_${zero.dims.join()}`;
      const known = zeros.get(key);
      if (known !== undefined) return known;
      const name = fresh(key);
      zeros.set(key, name);
      initializers.push([name, zero]);
      return name;
    };
    const roundTrip = (from: string, grid: [string, string], to: string): string =>
      add('DequantizeLinear', [add('QuantizeLinear', [from, ...grid], fresh(`${from}_uint8`)), ...grid], to);
    /** What a layer before has left is on the grid already. */
    const onGrid = (name: string): string => {
      if (ends.has(name)) return name;
      const known = rounded.get(name) ?? roundTrip(name, gridNames(name), fresh(`${name}_rounded`));
      rounded.set(name, known);
      return known;
    };

    const matrix = chosen.get(node);
    let inputs: readonly string[];
    if (matrix) {
      const input = node.inputs[0]!;
      const read = onGrid(input);
      const integers = await integersOf(node, model, matrix, grids.get(chains.sourceOf(input))!);
      const weights = integers.map(({ name, values, scale, zero }) => {
        const names = [name, `${name}_scale`].map(fresh) as [string, string];
        initializers.push([names[0], values], [names[1], scale]);
        const attributes: Node['attributes'] = scale.dims.length > 0 ? { axis: attr.int(0) } : {};
        return add('DequantizeLinear', [...names, zerosOf(zero)], fresh(`${name}_rounded`), attributes);
      });
      inputs = [read, ...weights];
    } else inputs = node.inputs.map(onGrid);
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
