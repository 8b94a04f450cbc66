import { numberAttribute, readsOf, type Graph, type Model, type Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import { tensor, valuesOf, type Tensor } from '../../../ir/tensor.js';
import { constantAt, readDense } from './dense-layer.js';

/** A dense layer or a convolution of images, as a map from input channels to output channels. */
export interface WeightedLayer {
  readonly node: Node;
  readonly input: string;
  readonly output: string;
  /** Initializer. */
  readonly weight: string;
  readonly bias: string | undefined;
  readonly inputs: number;
  readonly outputs: number;
  readonly isImage: boolean;
  /** Channels that the weight at this place of the initializer leads from and to. */
  readonly inputOf: (at: number) => number;
  readonly outputOf: (at: number) => number;
}

/** @returns undefined for other operators, and for weights that are not constant float32. */
export function readWeighted(node: Node, model: Model): WeightedLayer | undefined {
  const [input = '', weight = '', bias = ''] = node.inputs;
  const common = { node, input, output: node.outputs[0]!, weight, bias: bias === '' ? undefined : bias };
  if (node.op === 'Conv' && node.domain === '') {
    const constant = constantAt(weight, model.graph, model.irVersion);
    if (constant?.dtype !== 'float32' || constant.dims.length !== 4) return undefined;
    const [outputs, each, height, width] = constant.dims as [number, number, number, number];
    const groups = numberAttribute(node, 'group', 1);
    const outputOf = (at: number): number => Math.floor(at / (each * height * width));
    const inputOf = (at: number): number =>
      Math.floor(outputOf(at) / (outputs / groups)) * each + (Math.floor(at / (height * width)) % each);
    return { ...common, inputs: each * groups, outputs, isImage: true, inputOf, outputOf };
  }
  const found = readDense(node, model);
  if (!found || 'reason' in found) return undefined;
  const { rows, columns, transposed } = found.layer;
  const [across, along] = [
    (at: number) => Math.floor(at / (transposed ? rows : columns)),
    (at: number) => at % (transposed ? rows : columns),
  ];
  return {
    ...common,
    inputs: rows,
    outputs: columns,
    isImage: false,
    inputOf: transposed ? along : across,
    outputOf: transposed ? across : along,
  };
}

/** The numbers of a constant float32, which nobody may feed; undefined of anything else. */
export async function readConstant(name: string, model: Model): Promise<Float32Array | undefined> {
  const constant = constantAt(name, model.graph, model.irVersion);
  return constant?.dtype === 'float32' ? (valuesOf(await loadTensor(constant)) as Float32Array) : undefined;
}

/** How many inputs of nodes read each value. */
export function countReads({ nodes }: Graph): Map<string, number> {
  const reads = new Map<string, number>();
  for (const name of nodes.flatMap(readsOf)) reads.set(name, (reads.get(name) ?? 0) + 1);
  return reads;
}

/** The largest magnitude of the weights of each channel. */
export function magnitudesOf(
  values: Float32Array,
  channels: number,
  channelOf: (at: number) => number,
): Float64Array {
  const largest = new Float64Array(channels);
  for (let at = 0; at < values.length; at++) {
    const channel = channelOf(at);
    largest[channel] = Math.max(largest[channel]!, Math.abs(values[at]!));
  }
  return largest;
}

/** A constant of the same shape with each number times the factor of its channel. */
export function scaleConstant(
  { dims }: Pick<Tensor, 'dims'>,
  values: Float32Array,
  factors: Float64Array,
  channelOf: (at: number) => number = (at) => at,
): Tensor {
  return tensor(
    'float32',
    dims,
    values.map((value, at) => value * factors[channelOf(at)]!),
  );
}
