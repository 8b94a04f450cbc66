import { consumersOf, type Node } from '../../../ir/graph.js';
import { replaceNodes, type Replacement } from '../../../ir/rewrite.js';
import { inferTypes } from '../../../ir/shapes.js';
import { defineCleanup } from './cleanup/cleanup.js';
import { constantAt, labelOf } from './dense-layer.js';

/** The operator set in which Gemm spreads its bias by itself. */
const leastOpset = 7;

/**
 * What: makes a Gemm of a product of two matrices and the bias that is added to it.
 * Why: one kernel instead of two passes over the result, and one layer to quantize.
 * Example: Add(MatMul(x, W), b) → Gemm(x, W, b).
 */
export const fuseGemmPass = defineCleanup(
  'fuseGemm',
  'Make one Gemm of a product of matrices and its bias.',
  (model) => {
    const { graph, opsets, irVersion } = model;
    const types = inferTypes(model);
    const consumers = consumersOf(graph);
    const outputs = new Set(graph.outputs.map(({ name }) => name));
    const replacements = new Map<Node, Replacement>();
    const applied: { node: string; note: string }[] = [];
    for (const node of graph.nodes) {
      if (node.op !== 'MatMul' || node.domain !== '' || (opsets[''] ?? 0) < leastOpset) continue;
      const product = node.outputs[0]!;
      const [add, ...others] = consumers.get(product) ?? [];
      if (add?.op !== 'Add' || add.domain !== '' || others.length > 0 || outputs.has(product)) continue;
      const bias = add.inputs.find((name) => name !== product) ?? product;
      const isMatrix = node.inputs.every((name) => types.get(name)?.shape?.length === 2);
      const columns = types.get(node.inputs[1]!)?.shape?.[1];
      const dims = constantAt(bias, graph, irVersion)?.dims;
      const isRow =
        dims &&
        dims.length > 0 &&
        dims.length <= 2 &&
        dims.at(-1) === columns &&
        (dims.length < 2 || dims[0] === 1);
      if (!isMatrix || !isRow || types.get(product)?.dtype !== 'float32') continue;
      replacements.set(node, { nodes: [] });
      replacements.set(add, {
        nodes: [{ ...add, op: 'Gemm', inputs: [...node.inputs, bias], name: node.name || add.name }],
      });
      applied.push({ node: labelOf(node), note: `took in ${labelOf(add)}` });
    }
    return { graph: replaceNodes(graph, (node) => replacements.get(node)), applied };
  },
);
