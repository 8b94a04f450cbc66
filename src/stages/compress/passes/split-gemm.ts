import { numberAttribute, type Node } from '../../../ir/graph.js';
import { loadTensor } from '../../../ir/onnx/external.js';
import { freshNames, replaceNodes, type Replacement } from '../../../ir/rewrite.js';
import { tensor, valuesOf, type Tensor } from '../../../ir/tensor.js';
import { defineCleanup } from './cleanup/cleanup.js';
import { labelOf, readDense } from './dense-layer.js';

/**
 * What: makes a MatMul and an Add of a Gemm with constant weights, which are turned round where they stand transposed.
 * Why: kernels with small weights, and tools behind maas, know MatMul only.
 * Example: Gemm(x, W, b) {transB: 1} → Add(MatMul(x, Wᵀ), b).
 */
export const splitGemmPass = defineCleanup(
  'splitGemm',
  'Make a product of matrices and a sum of each Gemm.',
  async (model) => {
    const { graph } = model;
    const fresh = freshNames(graph);
    const replacements = new Map<Node, Replacement>();
    const turned = new Map<string, string>();
    const applied: { node: string; note: string }[] = [];
    for (const node of graph.nodes) {
      if (node.op !== 'Gemm') continue;
      const found = readDense(node, model);
      if (!found || 'reason' in found) continue;
      const { input, bias, transposed, rows, columns } = found.layer;
      let { weight } = found.layer;
      const initializers: [string, Tensor][] = [];
      if (numberAttribute(node, 'transB', 0) !== 0 && transposed) {
        const known = turned.get(weight);
        const name = known ?? fresh(`${weight}_transposed`);
        if (known === undefined) {
          const values = valuesOf(await loadTensor(graph.initializers.get(weight)!)) as Float32Array;
          const other = values.map((_, at) => values[(at % columns) * rows + Math.floor(at / columns)]!);
          initializers.push([name, tensor('float32', [rows, columns], other)]);
          turned.set(weight, name);
        }
        weight = name;
      }
      const output = node.outputs[0]!;
      const product = bias === undefined ? output : fresh(`${output}_product`);
      const plain = { domain: '', attributes: {} };
      const nodes: Node[] = [
        { ...plain, op: 'MatMul', name: node.name, inputs: [input, weight], outputs: [product] },
      ];
      if (bias !== undefined) {
        const name = fresh(`${labelOf(node)}_Add`);
        nodes.push({ ...plain, op: 'Add', name, inputs: [product, bias], outputs: [output] });
      }
      replacements.set(node, { nodes, initializers });
      applied.push({ node: labelOf(node), note: bias === undefined ? 'MatMul' : 'MatMul and Add' });
    }
    return { graph: replaceNodes(graph, (node) => replacements.get(node)), applied };
  },
);
