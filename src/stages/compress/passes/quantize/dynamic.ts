import { attr, type Graph, type Node } from '../../../../ir/graph.js';
import { freshNames } from '../../../../ir/rewrite.js';
import { dtypes, tensor, type Tensor } from '../../../../ir/tensor.js';
import { labelOf } from '../dense-layer.js';
import type { QuantizedMatrix } from '../quantize-matrix.js';
import type { EmitLayer } from './layer.js';

const floatCode = dtypes.indexOf('float32') + 1;

interface QuantizedInput {
  readonly values: string;
  readonly scale: string;
  readonly zero: string;
}

/**
 * Rewrites y = x · W + b with float32 weights into
 *
 *     q, s, z = DynamicQuantizeLinear(x)                    q uint8 [N, K]; s, z scalars
 *     y = Cast(MatMulInteger(q, Wq, z)) · (s · scale) + b   Wq int8 [K, M], scale [M] or []
 *
 * in standard operators, which onnxruntime fuses into one kernel (DynamicQuantizeMatMul). Weights are symmetric, so
 * they need no zero point. The range of x is that of the whole batch: a row's result depends a little on the rows that
 * it is run with. Layers with the same input quantize it once.
 */
export function createDynamicEmitter(graph: Graph): EmitLayer<QuantizedMatrix> {
  const fresh = freshNames(graph);
  const inputs = new Map<string, QuantizedInput>();
  const weights = new Map<QuantizedMatrix, { readonly values: string; readonly scale: string }>();

  return (node, { layer, matrix }) => {
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
        [weight.scale, scalesOf(matrix)],
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

/** [columns], or a scalar where the whole matrix has one scale. */
export function scalesOf({ scales, perChannel }: QuantizedMatrix): Tensor {
  return tensor('float32', perChannel ? [scales.length] : [], scales);
}
