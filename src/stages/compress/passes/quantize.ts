import { z } from 'zod';
import { attr, type Model, type Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import {
  freshNames,
  liftConstants,
  removeDead,
  replaceNodes,
  type Replacement,
} from '../../../ir/rewrite.js';
import { dtypes, tensor, valuesOf, type Tensor } from '../../../ir/tensor.js';
import { definePass, type PassReport } from '../../../plugin/api.js';
import { labelOf, readDense, type DenseLayer } from './dense-layer.js';
import { matchesAny } from './match-names.js';
import { quantizeMatrix, type QuantizedMatrix } from './quantize-matrix.js';

const options = z.strictObject({
  mode: z
    .enum(['dynamic'])
    .default('dynamic')
    .describe(
      'dynamic: weights are int8 in the file, activations become uint8 batch by batch. Needs no data.',
    ),
  perChannel: z
    .boolean()
    .default(true)
    .describe('One scale for each column of a weight matrix. false: one for the whole matrix.'),
  reduceRange: z
    .boolean()
    .default(false)
    .describe('Use 7 of the 8 bits: x86 processors without VNNI may overflow with 8.'),
  minElements: z
    .int()
    .min(1)
    .default(4096)
    .describe('Smaller matrices stay float32: int8 costs more there than it saves.'),
  exclude: z
    .array(z.string().min(1))
    .default([])
    .describe('Names of nodes to leave as they are; * stands for any text.'),
});
type QuantizeOptions = z.output<typeof options>;

/** Products of uint8 and int8 add up in 32 bits: more rows than this could overflow. */
const maxRows = Math.floor(2 ** 31 / (255 * 127));
/** The operator set that brought DynamicQuantizeLinear. */
const leastOpset = 11;
const floatCode = dtypes.indexOf('float32') + 1;

/**
 * Rewrites y = x · W + b with float32 weights into
 *
 *     q, s, z = DynamicQuantizeLinear(x)                    q uint8 [N, K]; s, z scalars
 *     y = Cast(MatMulInteger(q, Wq, z)) · (s · scale) + b   Wq int8 [K, M], scale [M] or []
 *
 * in standard operators, which onnxruntime fuses into one kernel (DynamicQuantizeMatMul). Weights are symmetric, so
 * they need no zero point. The range of x is that of the whole batch: a row's result depends a little on the rows that
 * it is run with.
 */
export const quantizePass = definePass<QuantizeOptions>({
  name: 'quantize',
  summary: 'Store the weights of dense layers as 8-bit integers.',
  options,
  version: 1,
  async run(model, settings) {
    const lifted: Model = { ...model, graph: liftConstants(model.graph) };
    const chosen = new Map<Node, { layer: DenseLayer; matrix: QuantizedMatrix }>();
    const matrices = new Map<string, QuantizedMatrix>();
    const applied: { node: string; note: string }[] = [];
    const skipped: { node: string; reason: string }[] = [];
    for (const node of lifted.graph.nodes) {
      const found = choose(node, lifted, settings);
      if (!found) continue;
      if ('reason' in found) {
        skipped.push({ node: labelOf(node), reason: found.reason });
        continue;
      }
      const { layer } = found;
      const key = `${layer.transposed}:${layer.weight}`;
      const matrix = matrices.get(key) ?? (await quantizeLayer(layer, lifted, settings));
      if (!matrix) {
        skipped.push({ node: labelOf(node), reason: 'its weights are not finite' });
        continue;
      }
      matrices.set(key, matrix);
      chosen.set(node, { layer, matrix });
      applied.push({
        node: labelOf(node),
        note: `int8 ${layer.rows} × ${layer.columns}, weights keep ${matrix.signalToNoise.toFixed(1)} dB`,
      });
    }
    const report: PassReport = { changed: chosen.size > 0, applied, skipped };
    if (chosen.size === 0) return { model, report };
    const emit = createEmitter(lifted, settings);
    const graph = removeDead(
      replaceNodes(lifted.graph, (node) => {
        const choice = chosen.get(node);
        return choice && emit(node, choice.layer, choice.matrix);
      }),
    );
    return { model: { ...model, graph }, report };
  },
});

function choose(node: Node, model: Model, settings: QuantizeOptions): ReturnType<typeof readDense> {
  if (node.op === 'Conv' && node.domain === '') {
    return { reason: 'a convolution is slower with activations quantized as they come' };
  }
  const found = readDense(node, model);
  if (!found || 'reason' in found) return found;
  const { rows, columns } = found.layer;
  const opset = model.opsets[''] ?? 0;
  if (opset < leastOpset) return { reason: `operator set ${opset} is older than ${leastOpset}` };
  if (matchesAny(labelOf(node), settings.exclude)) return { reason: 'excluded' };
  if (rows * columns < settings.minElements) {
    return { reason: `${rows} × ${columns} weights are fewer than minElements (${settings.minElements})` };
  }
  if (rows > maxRows) return { reason: `${rows} products could overflow 32 bits` };
  return found;
}

/** Weights as int8 [rows, columns]; undefined when they hold NaN or infinities. */
async function quantizeLayer(
  layer: DenseLayer,
  { graph }: Model,
  { perChannel, reduceRange }: QuantizeOptions,
): Promise<QuantizedMatrix | undefined> {
  const weight = valuesOf(await loadTensor(graph.initializers.get(layer.weight)!)) as Float32Array;
  const { rows, columns, transposed } = layer;
  return quantizeMatrix(weight, { rows, columns, transposed, perChannel, largest: reduceRange ? 63 : 127 });
}

/** The function that writes the nodes of a quantized layer. Layers with the same input quantize it once. */
function createEmitter({ graph }: Model, { perChannel }: QuantizeOptions) {
  const fresh = freshNames(graph);
  const inputs = new Map<
    string,
    { readonly values: string; readonly scale: string; readonly zero: string }
  >();
  const weights = new Map<QuantizedMatrix, { readonly values: string; readonly scale: string }>();

  return (node: Node, layer: DenseLayer, matrix: QuantizedMatrix): Replacement => {
    const nodes: Node[] = [];
    const initializers: [string, Tensor][] = [];
    const add = (op: string, from: string[], to: string[], attributes: Node['attributes'] = {}): void => {
      const name = fresh(`${labelOf(node)}_${op}`);
      nodes.push({ op, domain: '', name, inputs: from, outputs: to, attributes });
    };
    let input = inputs.get(layer.input);
    if (!input) {
      const [values, scale, zero] = [
        fresh(`${layer.input}_int8`),
        fresh(`${layer.input}_scale`),
        fresh(`${layer.input}_zero`),
      ];
      input = { values, scale, zero };
      inputs.set(layer.input, input);
      add('DynamicQuantizeLinear', [layer.input], [values, scale, zero]);
    }
    let weight = weights.get(matrix);
    if (!weight) {
      weight = { values: fresh(`${layer.weight}_int8`), scale: fresh(`${layer.weight}_scale`) };
      weights.set(matrix, weight);
      initializers.push(
        [weight.values, tensor('int8', [layer.rows, layer.columns], matrix.values)],
        [weight.scale, tensor('float32', perChannel ? [layer.columns] : [], matrix.scales)],
      );
    }
    const output = node.outputs[0]!;
    const sums = fresh(`${output}_sums`);
    const floats = fresh(`${output}_float`);
    const scale = fresh(`${output}_scale`);
    const product = layer.bias === undefined ? output : fresh(`${output}_product`);
    add('MatMulInteger', [input.values, weight.values, input.zero], [sums]);
    add('Cast', [sums], [floats], { to: attr.int(floatCode) });
    add('Mul', [input.scale, weight.scale], [scale]);
    add('Mul', [floats, scale], [product]);
    if (layer.bias !== undefined) add('Add', [product, layer.bias], [output]);
    return { nodes, initializers };
  };
}
