import type { Node, ValueType } from '../../../ir/graph.js';
import { freshNames, replaceNodes } from '../../../ir/rewrite.js';
import { inferTypes } from '../../../ir/shapes.js';
import { numbersOnly } from '../../../ir/shapes/rule.js';
import { int64s, tensor } from '../../../ir/tensor.js';
import { defineCleanup } from './cleanup/cleanup.js';
import { labelOf } from './dense-layer.js';

/**
 * What: writes down sizes that are known before the model runs, and leaves one that is not to Reshape.
 * Why: exporters read sizes off the input, node by node, which keeps other passes from seeing them.
 * Example: Reshape(x[N, 4, 8], Concat(Gather(Shape(x), 0), [32])) → Reshape(x, [-1, 32]).
 */
export const simplifyShapesPass = defineCleanup(
  'simplifyShapes',
  'Write down sizes that are known beforehand.',
  (model) => {
    const { graph } = model;
    const types = inferTypes(model);
    const fresh = freshNames(graph);
    const outputs = new Set(graph.outputs.map(({ name }) => name));
    const applied: { node: string; note: string }[] = [];
    const simplified = replaceNodes(graph, (node) => {
      const [output = '', ...others] = node.outputs;
      const type = types.get(output);
      const sizes = numbersOnly(type?.elements);
      const dims = numbersOnly(type?.shape);
      const isWhole = type?.dtype === 'int64' || type?.dtype === 'int32';
      if (sizes && dims && isWhole && !others.some(Boolean) && !outputs.has(output)) {
        applied.push({ node: labelOf(node), note: `is [${sizes.join(', ')}]` });
        return { nodes: [], initializers: [[output, tensor(type.dtype, dims, sizes)]] };
      }
      const target = openReshape(node, types, graph.initializers);
      if (!target) return undefined;
      const name = fresh(`${output}_shape`);
      applied.push({ node: labelOf(node), note: `to [${target.join(', ')}]` });
      return {
        nodes: [{ ...node, inputs: [node.inputs[0]!, name] }],
        initializers: [[name, int64s(target)]],
      };
    });
    return { graph: simplified, applied };
  },
);

/** The target of a Reshape that computes all but one size, which is worked out from the others. */
function openReshape(
  node: Node,
  types: ReadonlyMap<string, ValueType>,
  constants: ReadonlyMap<string, unknown>,
): number[] | undefined {
  const shape = node.inputs[1] ?? '';
  if (node.op !== 'Reshape' || node.domain !== '' || constants.has(shape) || 'allowzero' in node.attributes)
    return undefined;
  const sizes = types.get(shape)?.elements;
  if (!sizes) return undefined;
  const open = sizes.filter((size) => typeof size !== 'number');
  // 0 copies a size and -1 is worked out: only one may be left, and none of the others may be empty.
  if (open.length !== 1 || sizes.some((size) => typeof size === 'number' && size <= 0)) return undefined;
  const from = types.get(node.inputs[0]!)?.shape;
  // Of an empty batch nothing can be worked out; a size that is taken over as it is can be copied.
  const at = sizes.indexOf(open[0]!);
  const copied = open[0] !== '' && from?.[at] === open[0];
  return sizes.map((size) => (typeof size === 'number' ? size : copied ? 0 : -1));
}
