import { attr, numberAttribute, numbersAttribute, producersOf, readsOf } from '../../../../ir/graph.js';
import type { Graph, Node } from '../../../../ir/graph.js';
import { removeDead } from '../../../../ir/rewrite.js';
import { inferTypes } from '../../../../ir/shapes.js';
import { numbersOf } from '../../../../ir/tensor.js';

/** alpha · a·b, the operands transposed over their last two axes before. */
interface Product {
  readonly a: string;
  readonly b: string;
  readonly transA: boolean;
  readonly transB: boolean;
  readonly alpha: number;
  /** What the graph calls the result. */
  readonly output: string;
}

/**
 * Makes turning and scaling a part of the products of matrices next to them, forward and back: attention is full of both.
 * Each is a pass over all elements by itself, and costs a product nothing.
 */
export function foldProducts(graph: Graph): Graph {
  const types = inferTypes(graph);
  const producers = producersOf(graph);
  const readers = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    for (const name of readsOf(node)) readers.set(name, [...(readers.get(name) ?? []), node]);
  }
  const written = new Set(graph.outputs.map(({ name }) => name));
  /** Nodes that became a part of a product, by what they wrote. */
  const swallowed = new Set<string>();
  const rankOf = (name: string): number => types.get(name)?.shape?.length ?? 0;

  /** The number that a node multiplies its first operand, or its second, with. */
  const factorOf = (node: Node | undefined): { of: string; by: number } | undefined => {
    if (node?.domain !== '' || (node.op !== 'Mul' && node.op !== 'Div')) return undefined;
    for (const side of node.op === 'Mul' ? [0, 1] : [1]) {
      const constant = graph.initializers.get(node.inputs[side]!);
      if (constant?.dtype !== 'float32' || constant.dims.length > 0) continue;
      const number = numbersOf(constant)[0]!;
      const by = node.op === 'Mul' ? number : 1 / number;
      // What is no number, or none of float32, stays where it is.
      if (Number.isFinite(Math.fround(by))) return { of: node.inputs[1 - side]!, by };
    }
    return undefined;
  };
  const turnOf = (node: Node | undefined): string | undefined => {
    const perm = node?.op === 'Transpose' && numbersAttribute(node, 'perm');
    if (!perm || perm.length < 3) return undefined;
    const last = perm.length - 1;
    const swaps = perm.every((from, to) => from === (to === last ? last - 1 : to === last - 1 ? last : to));
    return swaps ? node.inputs[0] : undefined;
  };
  /** Follows an operand to what it was made of by turning and scaling. */
  const sourceOf = (name: string): { name: string; turned: boolean; by: number } => {
    const maker = swallowed.has(name) ? undefined : producers.get(name);
    const scaled = factorOf(maker);
    if (scaled) {
      const source = sourceOf(scaled.of);
      return { ...source, by: source.by * scaled.by };
    }
    const turned = turnOf(maker);
    if (turned === undefined) return { name, turned: false, by: 1 };
    const source = sourceOf(turned);
    return { ...source, turned: !source.turned };
  };
  /** Follows a result to the last that is made of it by turning and scaling, as long as nothing else reads it. */
  const finish = (product: Product): Product => {
    const [reader, ...others] = readers.get(product.output) ?? [];
    if (!reader || others.length > 0 || written.has(product.output)) return product;
    const scaled = factorOf(reader);
    const output = reader.outputs[0]!;
    if (scaled?.of !== product.output && turnOf(reader) === undefined) return product;
    swallowed.add(output);
    if (scaled) return finish({ ...product, alpha: product.alpha * scaled.by, output });
    // (A·B)ᵀ = Bᵀ·Aᵀ
    const { a, b, transA, transB } = product;
    return finish({ ...product, a: b, b: a, transA: !transB, transB: !transA, output });
  };

  const nodes = graph.nodes.flatMap((node) => {
    if (swallowed.has(node.outputs[0]!)) return [];
    const product = readProduct(node);
    if (!product || rankOf(product.a) < 3 || rankOf(product.b) < 3) return [node];
    const [a, b] = [sourceOf(product.a), sourceOf(product.b)];
    const folded = finish({
      ...product,
      a: a.name,
      b: b.name,
      transA: product.transA !== a.turned,
      transB: product.transB !== b.turned,
      alpha: product.alpha * a.by * b.by,
    });
    const same = folded.a === product.a && folded.b === product.b && folded.output === product.output;
    return [same ? node : toNode(folded)];
  });
  return removeDead({ ...graph, nodes });

  function readProduct(node: Node): Product | undefined {
    const fused = node.op === 'FusedMatMul' && node.domain === 'com.microsoft';
    if (!fused && (node.op !== 'MatMul' || node.domain !== '')) return undefined;
    const [a, b] = node.inputs as [string, string];
    const flag = (name: string): boolean => numberAttribute(node, name, 0) === 1;
    if (types.get(a)?.dtype !== 'float32' || flag('transBatchA') || flag('transBatchB')) return undefined;
    const [transA, transB] = [flag('transA'), flag('transB')];
    return { a, b, transA, transB, alpha: numberAttribute(node, 'alpha', 1), output: node.outputs[0]! };
  }
}

function toNode({ a, b, transA, transB, alpha, output }: Product): Node {
  const flag = (on: boolean) => attr.int(on ? 1 : 0);
  return {
    op: 'FusedMatMul',
    domain: 'com.microsoft',
    name: output,
    inputs: [a, b],
    outputs: [output],
    attributes: { transA: flag(transA), transB: flag(transB), alpha: attr.float(alpha) },
  };
}
