import { MaasError } from '../errors.js';
import { GraphBuilder } from './builder.js';
import { describe, otherAxes, size, sum } from './gradient/rule.js';
import { attr, numberAttribute, type Graph, type Node } from './graph.js';
import { productOf } from './shapes/rule.js';
import type { NumericDType } from './tensor.js';

export interface BatchStatistics {
  /** Per channel: [C]. */
  readonly mean: string;
  /** Per channel, around the mean and divided by the number of elements: [C]. */
  readonly variance: string;
  /** Elements per channel, as a scalar of the type of `x`. */
  readonly count: string;
}

/**
 * Emits the statistics over all axes of `x` but the second. A BatchNormalization of `x` with them is batch
 * normalization as it is trained (Ioffe and Szegedy, arXiv:1502.03167): its gradient knows this form. The operator's
 * own training mode is no alternative: onnxruntime then writes into the arrays that it was fed.
 */
export function emitBatchStatistics(g: GraphBuilder, x: string): BatchStatistics {
  const axes = otherAxes(g.rankOf(x));
  const sizes = productOf(axes.map((axis) => g.shapeOf(x)[axis]!));
  const dtype = g.dtypeOf(x) as NumericDType;
  const total = sum(g, x, axes);
  const count = sizes === undefined ? g.op('Div', [size(g, x), size(g, total)]) : g.scalar(sizes, dtype);
  const mean = g.op('Div', [total, count]);
  const centred = g.op('Sub', [x, mean]);
  const squares = sum(g, g.op('Mul', [centred, centred]), axes, false);
  return {
    mean: g.op('Reshape', [mean, g.int64s([-1])]),
    variance: g.op('Div', [squares, count]),
    count,
  };
}

/** A running mean or variance: an initializer, and the value that it takes after the batch. */
export interface RunningStatistic {
  readonly name: string;
  readonly next: string;
}

/**
 * Puts every BatchNormalization into the form in which it is trained: it normalizes with the statistics of the batch,
 * and its running mean and variance move towards them by 1 − momentum (the variance without bias, over M − 1).
 * @param keep Nodes that stay as they are, normalizing with what they have learnt; those whose statistics are computed
 * by the graph always do.
 * @returns The graph, and where each running statistic's next value is found in it, one entry for each initializer.
 * @throws MaasError MAAS_MODEL_UNSUPPORTED when the rank of what a node normalizes is not known.
 */
export function useBatchStatistics(
  graph: Graph,
  keep: (node: Node) => boolean = () => false,
): { readonly graph: Graph; readonly running: readonly RunningStatistic[] } {
  const g = new GraphBuilder({ ...graph, nodes: [] });
  // Nodes further down keep their names: what is emitted before them may not take one.
  for (const { name, outputs } of graph.nodes) for (const taken of [name, ...outputs]) g.unique(taken);
  const running = new Map<string, string>();
  for (const node of graph.nodes) {
    const [x, , , mean, variance] = node.inputs;
    const learns = node.op === 'BatchNormalization' && node.domain === '' && !keep(node);
    if (!learns || !graph.initializers.has(mean!) || !graph.initializers.has(variance!)) {
      g.add(node);
      continue;
    }
    if (!g.typeOf(x!)?.shape) {
      throw new MaasError(
        'MAAS_MODEL_UNSUPPORTED',
        `cannot train ${describe(node)}: the shape of ${x} is not known`,
      );
    }
    const batch = emitBatchStatistics(g, x!);
    const attributes = { ...node.attributes, training_mode: attr.int(0) };
    const inputs = [...node.inputs.slice(0, 3), batch.mean, batch.variance];
    g.add({ ...node, inputs, outputs: node.outputs.slice(0, 1), attributes });
    const momentum = numberAttribute(node, 'momentum', 0.9);
    const move = (name: string, to: string) =>
      running.set(name, moved(g, running.get(name) ?? name, to, momentum));
    move(mean!, batch.mean);
    move(variance!, unbiased(g, batch));
  }
  return { graph: g.build(), running: [...running].map(([name, next]) => ({ name, next })) };
}

function moved(g: GraphBuilder, from: string, to: string, momentum: number): string {
  const dtype = g.dtypeOf(from) as NumericDType;
  const kept = g.op('Mul', [from, g.scalar(momentum, dtype)]);
  return g.op('Add', [kept, g.op('Mul', [to, g.scalar(1 - momentum, dtype)])]);
}

/** The variance over M − 1; of a single element it is 0. */
function unbiased(g: GraphBuilder, { variance, count }: BatchStatistics): string {
  const one = g.scalar(1, g.dtypeOf(count) as NumericDType);
  const rest = g.op('Max', [g.op('Sub', [count, one]), one]);
  return g.op('Mul', [variance, g.op('Div', [count, rest])]);
}
