import { attr, type Graph, type Node } from '../../../../ir/graph.js';
import { freshNames } from '../../../../ir/rewrite.js';
import { tensor, type Tensor } from '../../../../ir/tensor.js';
import { labelOf } from '../dense-layer.js';
import type { BlockMatrix } from './blocks.js';
import type { EmitLayer } from './layer.js';
import type { QuantizeOptions } from './options.js';

interface PackedNames {
  readonly values: string;
  readonly scales: string;
  zeros?: string;
}

/**
 * Rewrites y = x · W + b with float32 weights into y = MatMulNBits(x, Wq, scales) + b, onnxruntime's operator (domain
 * com.microsoft) for weights of 4 or 8 bits with a scale for each block. Activations stay float32 between layers.
 */
export function createWeightsEmitter(
  graph: Graph,
  { bits, block, accuracyLevel }: Pick<QuantizeOptions, 'bits' | 'block' | 'accuracyLevel'>,
): EmitLayer<BlockMatrix> {
  const fresh = freshNames(graph);
  const weights = new Map<BlockMatrix, PackedNames>();

  return (node, { layer, matrix }) => {
    const initializers: [string, Tensor][] = [];
    let weight = weights.get(matrix);
    if (!weight) {
      weight = { values: fresh(`${layer.weight}_int${bits}`), scales: fresh(`${layer.weight}_scales`) };
      weights.set(matrix, weight);
      const { packed, scales, zeros, blocks } = matrix;
      initializers.push(
        [weight.values, tensor('uint8', [layer.columns, blocks, (block * bits) / 8], packed)],
        [weight.scales, tensor('float32', [layer.columns, blocks], scales)],
      );
      if (zeros) {
        const bytes = Math.ceil((blocks * bits) / 8);
        weight.zeros = fresh(`${layer.weight}_zeros`);
        initializers.push([
          weight.zeros,
          tensor('uint8', [layer.columns, bytes], packZeros(zeros, blocks, bytes, bits)),
        ]);
      }
    }
    const output = node.outputs[0]!;
    const product = layer.bias === undefined ? output : fresh(`${output}_product`);
    const nodes: Node[] = [
      {
        op: 'MatMulNBits',
        domain: 'com.microsoft',
        name: fresh(`${labelOf(node)}_MatMulNBits`),
        inputs: [layer.input, weight.values, weight.scales, ...(weight.zeros ? [weight.zeros] : [])],
        outputs: [product],
        attributes: {
          K: attr.int(layer.rows),
          N: attr.int(layer.columns),
          bits: attr.int(bits),
          block_size: attr.int(block),
          accuracy_level: attr.int(accuracyLevel),
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

/** Zero points [columns, blocks] as bytes [columns, bytes]; of two 4-bit ones the first is in the low bits. */
function packZeros(zeros: Uint8Array, blocks: number, bytes: number, bits: number): Uint8Array {
  if (bits === 8) return zeros;
  const packed = new Uint8Array((zeros.length / blocks) * bytes);
  zeros.forEach((zero, at) => {
    const part = at % blocks;
    packed[Math.floor(at / blocks) * bytes + (part >> 1)]! |= zero << (part % 2 === 0 ? 0 : 4);
  });
  return packed;
}
