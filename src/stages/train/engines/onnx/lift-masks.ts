import { attr, producersOf, type Graph, type Node } from '../../../../ir/graph.js';
import { freshNames, replaceNodes } from '../../../../ir/rewrite.js';
import { inferTypes } from '../../../../ir/shapes.js';
import { int64s, scalar } from '../../../../ir/tensor.js';

/** e⁻⁴⁰ is 4·10⁻¹⁸: nothing beside 1, but far from 10⁻³⁸, below which float32 has no normal numbers, also after gradients. */
const reach = -40;

/**
 * Holds what masks make very small in attention at 40 below the largest of its row. Else half of the shares of a causal
 * mask are numbers so small that a processor takes many times as long for each: on these a Softmax takes seven times as
 * long (measured). No share changes by more than 4·10⁻¹⁸.
 */
export function liftMasks(graph: Graph, opset = 0): Graph {
  // Before, the axes of ReduceMax were an attribute.
  if (opset < 18) return graph;
  const producers = producersOf(graph);
  const types = inferTypes(graph);
  const fresh = freshNames(graph);
  return replaceNodes(graph, (node) => {
    const [given] = node.inputs;
    const rank = types.get(given!)?.shape?.length;
    const masked = ['Add', 'Where'].includes(producers.get(given!)?.op ?? '');
    // Scores have an axis for each of examples, heads (often), queries and keys.
    if (node.op !== 'Softmax' || !masked || rank === undefined || rank < 3) return undefined;
    if (types.get(given!)?.dtype !== 'float32') return undefined;
    const axis = node.attributes['axis'] ?? attr.int(-1);
    if (axis.type !== 'int') return undefined;
    const names = { axes: fresh('axes'), reach: fresh('reach') };
    const emit = (op: string, inputs: readonly string[]): Node => {
      const name = fresh(`${node.outputs[0]!}.lifted`);
      return { op, domain: '', name, inputs, outputs: [name], attributes: {} };
    };
    const most = emit('ReduceMax', [given!, names.axes]);
    const least = emit('Add', [most.outputs[0]!, names.reach]);
    const lifted = emit('Max', [given!, least.outputs[0]!]);
    return {
      nodes: [most, least, lifted, { ...node, inputs: lifted.outputs }],
      initializers: [
        [names.axes, int64s([Number(axis.value)])],
        [names.reach, scalar('float32', reach)],
      ],
    };
  });
}
