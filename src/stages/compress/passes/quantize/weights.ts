import { attr, type Graph, type Node } from '../../../../ir/graph.js';
import { freshNames } from '../../../../ir/rewrite.js';
import { dtypes, int64s, tensor, type Tensor } from '../../../../ir/tensor.js';
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

const floatCode = dtypes.indexOf('float32') + 1;

/**
 * Rewrites y = x · W + b into y = MatMul(x, W') + b, where W' = Transpose(Reshape((Cast(Wq) − zeros) · scales)) is computed when the
 * model is loaded, as all that depends on constants only.
 */
export function createUnpackedEmitter(
  graph: Graph,
  { bits, block }: Pick<QuantizeOptions, 'bits' | 'block'>,
): EmitLayer<BlockMatrix> {
  const fresh = freshNames(graph);
  const weights = new Map<BlockMatrix, string>();

  return (node, { layer, matrix }) => {
    const nodes: Node[] = [];
    const initializers: [string, Tensor][] = [];
    const { rows, columns, weight: given, bias } = layer;
    const add = (op: string, inputs: string[], to: string, attributes: Node['attributes'] = {}): string => {
      nodes.push({ op, domain: '', name: fresh(`${to}_${op}`), inputs, outputs: [to], attributes });
      return to;
    };
    const place = (stem: string, constant: Tensor): string => {
      const name = fresh(`${given}_${stem}`);
      initializers.push([name, constant]);
      return name;
    };
    const toFloat = (name: string): string =>
      add('Cast', [name], fresh(`${name}_float`), { to: attr.int(floatCode) });
    let weight = weights.get(matrix);
    if (weight === undefined) {
      const { packed, scales, zeros, blocks } = matrix;
      const dtype = bits === 4 ? 'uint4' : 'uint8';
      const integers = place(`int${bits}`, { dtype, dims: [columns, blocks, block], data: packed });
      const zero = zeros
        ? toFloat(place('zeros', tensor('uint8', [columns, blocks, 1], zeros)))
        : place('zero', tensor('float32', [], [2 ** (bits - 1)]));
      const centred = add('Sub', [toFloat(integers), zero], fresh(`${given}_centred`));
      const factors = place('scales', tensor('float32', [columns, blocks, 1], scales));
      const scaled = add('Mul', [centred, factors], fresh(`${given}_scaled`));
      const shape = place('shape', int64s([columns, blocks * block]));
      let flat = add('Reshape', [scaled, shape], fresh(`${given}_flat`));
      if (blocks * block > rows) {
        const bounds = [0, rows, 1].map((bound, at) => place(`slice${at}`, int64s([bound])));
        flat = add('Slice', [flat, ...bounds], fresh(`${given}_cut`));
      }
      weight = add('Transpose', [flat], fresh(`${given}_unpacked`), { perm: attr.ints([1, 0]) });
      weights.set(matrix, weight);
    }
    const output = node.outputs[0]!;
    const product = bias === undefined ? output : fresh(`${output}_product`);
    add('MatMul', [layer.input, weight], product);
    if (bias !== undefined) add('Add', [product, bias], output);
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
