import type { Model, Node } from '../../../../ir/graph.js';
import { freshNames } from '../../../../ir/rewrite.js';
import { sizeOf, tensor, type Tensor } from '../../../../ir/tensor.js';
import type { Observations, Observed } from '../observe.js';
import type { QuantizedMatrix } from '../quantize-matrix.js';
import { readConstant, readWeighted, type WeightedLayer } from '../weighted-layer.js';

export interface CorrectedBiases {
  /** The model with the new constants, which no node reads yet. */
  readonly model: Model;
  /** Names of the new biases; layers whose bias is no constant row are left out. */
  readonly biases: ReadonlyMap<Node, string>;
}

/** What the correction has to know the means of. */
export function inputsToCorrect(model: Model, nodes: Iterable<Node>): Observed[] {
  const inputs = new Map<string, Observed>();
  for (const node of nodes) {
    const layer = readWeighted(node, model);
    if (layer) inputs.set(layer.input, { name: layer.input, channels: layer.inputs, isImage: layer.isImage });
  }
  return [...inputs.values()];
}

/**
 * Analytic bias correction (Nagel et al., arXiv:1906.04721, sec. 4.2): rounded weights Ŵ shift the outputs of a layer by
 * E[x] · (Ŵ − W) on average, which its bias can take back. E[x] is the mean on the calibration rows.
 * @param matrices The layers whose weights are rounded, as `quantizeMatrix` gives them: a column for each output.
 */
export async function correctBiases(
  model: Model,
  matrices: ReadonlyMap<Node, QuantizedMatrix>,
  means: Observations,
): Promise<CorrectedBiases> {
  const fresh = freshNames(model.graph);
  const initializers = new Map<string, Tensor>(model.graph.initializers);
  const biases = new Map<Node, string>();
  for (const [node, matrix] of matrices) {
    const layer = readWeighted(node, model);
    const mean = layer && means.get(layer.input);
    if (!layer || !mean?.every(Number.isFinite)) continue;
    const { weight, bias, outputs } = layer;
    const corrected = new Float32Array(outputs);
    if (bias !== undefined) {
      const given = await readConstant(bias, model);
      if (given?.length !== outputs) continue;
      corrected.set(given);
    }
    const taps = layer.isImage ? sizeOf(model.graph.initializers.get(weight)!.dims.slice(2)) : 1;
    const shifts = shiftsOf(layer, matrix, (await readConstant(weight, model))!, mean, taps);
    for (let column = 0; column < outputs; column++) corrected[column]! -= shifts[column]!;
    const name = fresh(`${bias ?? weight}_corrected`);
    initializers.set(name, tensor('float32', [outputs], corrected));
    biases.set(node, name);
  }
  return { model: { ...model, graph: { ...model.graph, initializers } }, biases };
}

/**
 * E[x] · (Ŵ − W) for each output.
 * @param taps Weights side by side that read the same input channel.
 */
function shiftsOf(
  { isImage, outputs, inputOf, outputOf }: WeightedLayer,
  { values, scales, perChannel }: QuantizedMatrix,
  exact: Float32Array,
  mean: Float64Array,
  taps: number,
): Float64Array {
  const shifts = new Float64Array(outputs);
  const rows = values.length / outputs;
  // All weights of an output lie side by side, or all of an input.
  const isTurned = isImage || (rows > 1 && outputOf(1) === 0);
  const [lines, length] = isTurned ? [outputs, rows] : [rows, outputs];
  for (let line = 0; line < lines; line++) {
    const first = inputOf(line * length);
    for (let step = 0; step < length; step++) {
      const column = isTurned ? line : step;
      const integer = values[isTurned ? step * outputs + line : line * length + step]!;
      const input = isTurned ? first + Math.floor(step / taps) : first;
      const rounded = integer * scales[perChannel ? column : 0]!;
      shifts[column]! += mean[input]! * (rounded - exact[line * length + step]!);
    }
  }
  return shifts;
}
