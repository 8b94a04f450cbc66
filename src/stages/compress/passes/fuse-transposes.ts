import { attr, numberAttribute, numbersAttribute, producersOf, type Node } from '../../../ir/graph.js';
import { replaceNodes } from '../../../ir/rewrite.js';
import { inferTypes } from '../../../ir/shapes.js';
import { defineCleanup } from './cleanup/cleanup.js';
import { labelOf } from './dense-layer.js';

/**
 * What: makes one Transpose of two in a row, and takes one in front of a Gemm into it.
 * Why: a Transpose copies its input; Gemm reads either order.
 * Example: Gemm(Transpose(A), B) → Gemm(A, B) {transA: 1}.
 */
export const fuseTransposesPass = defineCleanup(
  'fuseTransposes',
  'Make one Transpose of two in a row, and take it into Gemm.',
  (model) => {
    const { graph } = model;
    const types = inferTypes(model);
    const producers = producersOf(graph);
    const applied: { node: string; note: string }[] = [];
    const transposeAt = (name: string): { node: Node; perm: readonly number[] } | undefined => {
      const node = producers.get(name);
      if (node?.op !== 'Transpose' || node.domain !== '') return undefined;
      const rank = types.get(node.inputs[0]!)?.shape?.length;
      const reverse = rank === undefined ? undefined : Array.from({ length: rank }, (_, at) => rank - 1 - at);
      const perm = numbersAttribute(node, 'perm') ?? reverse;
      return perm && { node, perm };
    };
    const fused = replaceNodes(graph, (node) => {
      if (node.domain !== '') return undefined;
      if (node.op === 'Transpose') {
        const inner = transposeAt(node.inputs[0]!);
        const outer = transposeAt(node.outputs[0]!);
        if (!inner || !outer) return undefined;
        applied.push({ node: labelOf(node), note: `took in ${labelOf(inner.node)}` });
        const perm = attr.ints(outer.perm.map((axis) => inner.perm[axis]!));
        return { nodes: [{ ...node, inputs: [inner.node.inputs[0]!], attributes: { perm } }] };
      }
      if (node.op !== 'Gemm') return undefined;
      const inputs = [...node.inputs];
      const attributes = { ...node.attributes };
      for (const [index, name] of ['transA', 'transB'].entries()) {
        const inner = transposeAt(inputs[index]!);
        if (inner?.perm.join() !== '1,0') continue;
        inputs[index] = inner.node.inputs[0]!;
        attributes[name] = attr.int(numberAttribute(node, name, 0) === 0 ? 1 : 0);
        applied.push({ node: labelOf(node), note: `took in ${labelOf(inner.node)}` });
      }
      return inputs.join() === node.inputs.join() ? undefined : { nodes: [{ ...node, inputs, attributes }] };
    });
    return { graph: fused, applied };
  },
);
