import { attr, readsOf, type Graph, type Node } from '../../../../ir/graph.js';
import { freshNames, replaceNodes } from '../../../../ir/rewrite.js';
import { inferTypes } from '../../../../ir/shapes.js';
import { int64s, type Tensor } from '../../../../ir/tensor.js';

/**
 * Turns a product of rows with a matrix, and the bias that is added to it, into one Gemm over all rows: a pass over the
 * elements less on the way there.
 */
export function fuseBias(graph: Graph): Graph {
  const types = inferTypes(graph);
  const fresh = freshNames(graph);
  const readers = new Map<string, number>();
  for (const name of [...graph.nodes.flatMap(readsOf), ...graph.outputs.map((value) => value.name)]) {
    readers.set(name, (readers.get(name) ?? 0) + 1);
  }
  const products = new Map(
    graph.nodes
      .filter(({ op, domain, outputs }) => op === 'MatMul' && domain === '' && readers.get(outputs[0]!) === 1)
      .map((node) => [node.outputs[0]!, node]),
  );
  const shapeOf = (name: string) => types.get(name)?.shape;
  const fused = new Set<Node>();
  const initializers = new Map<string, Tensor>();

  const added = replaceNodes(graph, (node) => {
    if (node.op !== 'Add' || node.domain !== '') return undefined;
    const side = node.inputs.findIndex((name) => products.has(name));
    const product = products.get(node.inputs[side] ?? '');
    const bias = node.inputs[1 - side];
    if (!product || bias === undefined) return undefined;
    const [rows, matrix] = product.inputs as [string, string];
    const [from, weights, to] = [shapeOf(rows), shapeOf(matrix), shapeOf(node.outputs[0]!)];
    const [, width] = weights ?? [];
    const whole = shapeOf(bias)?.length === 1 && typeof width === 'number' && shapeOf(bias)![0] === width;
    // Reshape brings back what is known, and one axis that is not.
    const sizes = to?.map((size) => (typeof size === 'number' ? size : -1));
    const known = sizes && sizes.filter((size) => size === -1).length <= 1 && !sizes.includes(0);
    if (!from || from.length < 3 || weights?.length !== 2 || !whole || !known) return undefined;
    if (types.get(rows)?.dtype !== 'float32' || typeof weights[0] !== 'number') return undefined;
    const reshape = (input: string, output: string, dims: readonly number[]): Node => {
      const shape = fresh(`${output}.shape`);
      initializers.set(shape, int64s(dims));
      return {
        op: 'Reshape',
        domain: '',
        name: output,
        inputs: [input, shape],
        outputs: [output],
        attributes: {},
      };
    };
    const [flat, sum] = [fresh(`${product.outputs[0]!}.rows`), fresh(`${product.outputs[0]!}.sum`)];
    fused.add(product);
    return {
      nodes: [
        reshape(rows, flat, [-1, weights[0]]),
        {
          op: 'Gemm',
          domain: '',
          name: sum,
          inputs: [flat, matrix, bias],
          outputs: [sum],
          attributes: { alpha: attr.float(1) },
        },
        reshape(sum, node.outputs[0]!, sizes),
      ],
    };
  });
  return {
    ...added,
    nodes: added.nodes.filter((node) => !fused.has(node)),
    initializers: new Map([...added.initializers, ...initializers]),
  };
}
