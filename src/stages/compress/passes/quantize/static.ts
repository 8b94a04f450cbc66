import type { Graph, Node } from '../../../../ir/graph.js';
import { freshNames } from '../../../../ir/rewrite.js';
import { tensor, type Tensor } from '../../../../ir/tensor.js';
import { labelOf } from '../dense-layer.js';
import type { QuantizedMatrix } from '../quantize-matrix.js';
import { scalesOf } from './dynamic.js';
import type { EmitLayer } from './layer.js';
import { gridOf, type Range } from './ranges.js';

interface QuantizedInput {
  readonly values: string;
  readonly scale: string;
  readonly zero: string;
}

/**
 * Rewrites y = x · W + b with float32 weights into
 *
 *     q = QuantizeLinear(x, s, z)                            q uint8; s, z constants from calibration
 *     y = MatMulIntegerToFloat(q, Wq, s, scale, z, , b)      Wq int8 [K, M], scale [M] or []
 *
 * The range of x is known beforehand, so that no row depends on those beside it. onnxruntime's own fused operator
 * (domain com.microsoft) is written down as it is: the same layer as QuantizeLinear and DequantizeLinear around a Gemm
 * is fused or not depending on what is next to it, and takes nine times the time of float32 where it is not.
 */
export function createStaticEmitter(
  graph: Graph,
  ranges: ReadonlyMap<string, Range>,
): EmitLayer<QuantizedMatrix> {
  const fresh = freshNames(graph);
  const inputs = new Map<string, QuantizedInput>();
  const weights = new Map<QuantizedMatrix, { readonly values: string; readonly scale: string }>();

  return (node, { layer, matrix }) => {
    const nodes: Node[] = [];
    const initializers: [string, Tensor][] = [];
    const add = (op: string, domain: string, from: string[], to: string): void => {
      const name = fresh(`${labelOf(node)}_${op}`);
      nodes.push({ op, domain, name, inputs: from, outputs: [to], attributes: {} });
    };
    let input = inputs.get(layer.input);
    if (!input) {
      const { scale, zero } = gridOf(ranges.get(layer.input)!);
      input = {
        values: fresh(`${layer.input}_int8`),
        scale: fresh(`${layer.input}_scale`),
        zero: fresh(`${layer.input}_zero`),
      };
      inputs.set(layer.input, input);
      initializers.push(
        [input.scale, tensor('float32', [], [scale])],
        [input.zero, tensor('uint8', [], [zero])],
      );
      add('QuantizeLinear', '', [layer.input, input.scale, input.zero], input.values);
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
    const product = [input.values, weight.values, input.scale, weight.scale, input.zero];
    const { bias } = layer;
    const dims = bias === undefined ? undefined : graph.initializers.get(bias)?.dims;
    if (bias === undefined) add('MatMulIntegerToFloat', 'com.microsoft', product, output);
    else if (dims?.length === 1 && dims[0] === layer.columns) {
      add('MatMulIntegerToFloat', 'com.microsoft', [...product, '', bias], output);
    } else {
      // The operator takes a bias of one row only.
      const unbiased = fresh(`${output}_product`);
      add('MatMulIntegerToFloat', 'com.microsoft', product, unbiased);
      add('Add', '', [unbiased, bias], output);
    }
    return { nodes, initializers };
  };
}
