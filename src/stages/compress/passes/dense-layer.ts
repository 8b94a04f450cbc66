import { numberAttribute, type Graph, type Model, type Node } from '../../../ir/graph.js';
import type { Tensor } from '../../../ir/tensor.js';

/** A node that multiplies by a constant matrix: y = x · W (+ bias). */
export interface DenseLayer {
  readonly input: string;
  /** Initializer: [rows, columns], or [columns, rows] when `transposed`. */
  readonly weight: string;
  readonly transposed: boolean;
  readonly bias: string | undefined;
  /** Length of a row of x. */
  readonly rows: number;
  /** Length of a row of y. */
  readonly columns: number;
}

/** How reports name a node. */
export function labelOf(node: Node): string {
  return node.name === '' ? (node.outputs[0] ?? node.op) : node.name;
}

/**
 * Reads a Gemm or MatMul as a dense layer.
 * @returns undefined for other operators, and the reason where the node is none that a pass can take apart.
 */
export function readDense(
  node: Node,
  { graph, irVersion }: Model,
): { readonly layer: DenseLayer } | { readonly reason: string } | undefined {
  if (node.domain !== '' || (node.op !== 'Gemm' && node.op !== 'MatMul')) return undefined;
  const [input = '', weight = '', bias = ''] = node.inputs;
  const constant = constantAt(weight, graph, irVersion);
  if (!constant) return { reason: 'its weights are not constant' };
  if (constant.dtype !== 'float32') return { reason: `its weights are ${constant.dtype}` };
  if (constant.dims.length !== 2) return { reason: `its weights have ${constant.dims.length} dimensions` };
  if (node.op === 'Gemm') {
    if (numberAttribute(node, 'transA', 0) !== 0) return { reason: 'its input is transposed' };
    const scaled = numberAttribute(node, 'alpha', 1) !== 1 || numberAttribute(node, 'beta', 1) !== 1;
    if (scaled) return { reason: 'its alpha or beta is not 1' };
  }
  const transposed = node.op === 'Gemm' && numberAttribute(node, 'transB', 0) !== 0;
  const [first, second] = constant.dims as [number, number];
  const [rows, columns] = transposed ? [second, first] : [first, second];
  return { layer: { input, weight, transposed, bias: bias === '' ? undefined : bias, rows, columns } };
}

/** The initializer, unless the caller of the model may put another value in its place. */
export function constantAt(name: string, graph: Graph, irVersion: number): Tensor | undefined {
  // Up to IR version 3 every initializer had to be an input too, whether or not it was meant to be fed.
  const isFed = irVersion > 3 && graph.inputs.some((value) => value.name === name);
  return isFed ? undefined : graph.initializers.get(name);
}
