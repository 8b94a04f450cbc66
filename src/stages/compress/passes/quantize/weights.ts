import { attr, type Graph, type Node } from '../../../../ir/graph.js';
import { freshNames } from '../../../../ir/rewrite.js';
import { tensor, type Tensor } from '../../../../ir/tensor.js';
import { labelOf } from '../dense-layer.js';
import type { BlockLayout, BlockMatrix } from './blocks.js';
import type { EmitLayer } from './layer.js';

/**
 * Lets the kernel multiply in int8, with a scale for each block of a row. Other levels unpack the weights to float32
 * first: with 8 bits that takes up to 20 times the time of float32.
 */
const int8Products = 4;

/**
 * Rewrites y = x · W + b with float32 weights into y = MatMulNBits(x, Wq, scales) + b, onnxruntime's operator (domain
 * com.microsoft) for weights of 4 or 8 bits with a scale for each block. Activations stay float32 between layers.
 */
export function createWeightsEmitter(
  graph: Graph,
  { bits, block }: Pick<BlockLayout, 'bits' | 'block'>,
): EmitLayer<BlockMatrix> {
  const fresh = freshNames(graph);
  const weights = new Map<BlockMatrix, { readonly values: string; readonly scales: string }>();

  return (node, { layer, matrix }) => {
    const initializers: [string, Tensor][] = [];
    let weight = weights.get(matrix);
    if (!weight) {
      weight = { values: fresh(`${layer.weight}_int${bits}`), scales: fresh(`${layer.weight}_scales`) };
      weights.set(matrix, weight);
      const { packed, scales, blocks } = matrix;
      initializers.push(
        [weight.values, tensor('uint8', [layer.columns, blocks, (block * bits) / 8], packed)],
        [weight.scales, tensor('float32', [layer.columns, blocks], scales)],
      );
    }
    const output = node.outputs[0]!;
    const product = layer.bias === undefined ? output : fresh(`${output}_product`);
    const nodes: Node[] = [
      {
        op: 'MatMulNBits',
        domain: 'com.microsoft',
        name: fresh(`${labelOf(node)}_MatMulNBits`),
        inputs: [layer.input, weight.values, weight.scales],
        outputs: [product],
        attributes: {
          K: attr.int(layer.rows),
          N: attr.int(layer.columns),
          bits: attr.int(bits),
          block_size: attr.int(block),
          accuracy_level: attr.int(int8Products),
        },
      },
    ];
    if (layer.bias !== undefined) {
      const name = fresh(`${labelOf(node)}_Add`);
      nodes.push({
        op: 'Add',
        domain: '',
        name,
        inputs: [product, layer.bias],
        outputs: [output],
        attributes: {},
      });
    }
    return { nodes, initializers };
  };
}
