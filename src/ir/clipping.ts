import type { GraphBuilder } from './builder.js';
import { attr } from './graph.js';

/** Bounds on gradients; both may be given, and values are bounded first. */
export interface Clip {
  /** Greatest length of all gradients together (Pascanu, Mikolov and Bengio, arXiv:1211.5063). */
  readonly norm?: number;
  /** Greatest magnitude of each element. */
  readonly value?: number;
}

/** As in PyTorch's `clip_grad_norm_`: nothing is divided by 0. */
const leastNorm = 1e-6;

/**
 * Emits the clipped gradients.
 * @param gradients By parameter.
 */
export function clipGradients(
  g: GraphBuilder,
  gradients: ReadonlyMap<string, string>,
  { norm, value }: Clip,
): ReadonlyMap<string, string> {
  const bounded = value === undefined ? gradients : clipValues(g, gradients, value);
  return norm === undefined ? bounded : clipNorm(g, bounded, norm);
}

function clipValues(
  g: GraphBuilder,
  gradients: ReadonlyMap<string, string>,
  most: number,
): ReadonlyMap<string, string> {
  const bounds = [g.scalar(-most), g.scalar(most)];
  return mapValues(gradients, (gradient) => g.op('Clip', [gradient, ...bounds]));
}

function clipNorm(
  g: GraphBuilder,
  gradients: ReadonlyMap<string, string>,
  most: number,
): ReadonlyMap<string, string> {
  const squares = [...gradients.values()].map((gradient) =>
    g.op('ReduceSumSquare', [gradient], { keepdims: attr.int(0) }),
  );
  const total = g.op('Sqrt', [squares.length === 1 ? squares[0]! : g.op('Sum', squares)]);
  const shrink = g.op('Div', [g.scalar(most), g.op('Add', [total, g.scalar(leastNorm)])]);
  const factor = g.op('Min', [shrink, g.scalar(1)]);
  return mapValues(gradients, (gradient) => g.op('Mul', [gradient, factor]));
}

function mapValues(
  map: ReadonlyMap<string, string>,
  change: (value: string) => string,
): ReadonlyMap<string, string> {
  return new Map([...map].map(([key, value]) => [key, change(value)]));
}
