import type { Model, Node } from '../../../../ir/graph.js';
import { freshNames } from '../../../../ir/rewrite.js';
import { tensor, type Tensor } from '../../../../ir/tensor.js';
import type { Feeds } from '../../../../runtime/session.js';
import { observeMeans, type Observer } from '../observe.js';
import type { QuantizedMatrix } from '../quantize-matrix.js';
import { readConstant, readWeighted } from '../weighted-layer.js';

export interface CorrectedBiases {
  /** The model with the new constants, which no node reads yet. */
  readonly model: Model;
  /** Names of the new biases; layers whose bias is no constant row are left out. */
  readonly biases: ReadonlyMap<Node, string>;
}

/**
 * Analytic bias correction (Nagel et al., arXiv:1906.04721, sec. 4.2): rounded weights Ŵ shift the outputs of a layer by
 * E[x] · (Ŵ − W) on average, which its bias can take back. E[x] is the mean on the calibration rows.
 * @param matrices The layers whose weights are rounded, as `quantizeMatrix` gives them: a column for each output.
 */
export async function correctBiases(
  model: Model,
  matrices: ReadonlyMap<Node, QuantizedMatrix>,
  batches: readonly Feeds[],
  observer: Observer,
): Promise<CorrectedBiases> {
  const layers = [...matrices.keys()].flatMap((node) => readWeighted(node, model) ?? []);
  const observed = new Map(
    layers.map(({ input, inputs, isImage }) => [input, { name: input, channels: inputs, isImage }]),
  );
  const means = await observeMeans(model, [...observed.values()], batches, observer);
  const fresh = freshNames(model.graph);
  const initializers = new Map<string, Tensor>(model.graph.initializers);
  const biases = new Map<Node, string>();
  for (const { node, input, weight, bias, outputs, isImage, inputOf, outputOf } of layers) {
    const mean = means.get(input);
    if (!mean?.every(Number.isFinite)) continue;
    const corrected = new Float64Array(outputs);
    if (bias !== undefined) {
      const given = await readConstant(bias, model);
      if (given?.length !== outputs) continue;
      corrected.set(given);
    }
    const { values, scales, perChannel } = matrices.get(node)!;
    const exact = (await readConstant(weight, model))!;
    // A kernel's taps are the rows of its matrix.
    const rows = values.length / outputs;
    for (let at = 0; at < exact.length; at++) {
      const column = outputOf(at);
      const row = isImage ? at % rows : inputOf(at);
      const rounded = values[row * outputs + column]! * scales[perChannel ? column : 0]!;
      corrected[column]! -= mean[inputOf(at)]! * (rounded - exact[at]!);
    }
    const name = fresh(`${bias ?? weight}_corrected`);
    initializers.set(name, tensor('float32', [outputs], Float32Array.from(corrected)));
    biases.set(node, name);
  }
  return { model: { ...model, graph: { ...model.graph, initializers } }, biases };
}
