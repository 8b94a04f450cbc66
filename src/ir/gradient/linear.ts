import { attr, numberAttribute } from '../graph.js';
import type { GradientRule, GradientRules, GradientSite } from './rule.js';

const flag = (on: boolean) => attr.int(on ? 1 : 0);

const gemm: GradientRule = (site) => {
  const { g, node, dy, x } = site;
  const [a, b] = x as [string, string];
  const transA = numberAttribute(node, 'transA', 0) === 1;
  const transB = numberAttribute(node, 'transB', 0) === 1;
  const alpha = attr.float(numberAttribute(node, 'alpha', 1));
  const product = (left: string, transLeft: boolean, right: string, transRight: boolean) =>
    g.op('Gemm', [left, right], { transA: flag(transLeft), transB: flag(transRight), alpha });
  return [
    () => (transA ? product(b, transB, dy, true) : product(dy, false, b, !transB)),
    () => (transB ? product(dy, true, a, transA) : product(a, !transA, dy, false)),
    () => {
      const beta = numberAttribute(node, 'beta', 1);
      return beta === 1 ? dy : site.mul(dy, site.number(beta));
    },
  ];
};

function swapLastTwo(site: GradientSite, name: string): string {
  const rank = site.g.rankOf(name);
  const perm = [...Array(rank - 2).keys(), rank - 1, rank - 2];
  return site.g.op('Transpose', [name], { perm: attr.ints(perm) });
}

function lift(site: GradientSite, name: string, axis: number): string {
  return site.g.op('Unsqueeze', [name, site.g.int64s([axis])]);
}

/** a·b over the last two axes, either transposed before: without a copy where onnxruntime can. */
function product(site: GradientSite, [a, b]: [string, string], transposed: 'a' | 'b'): string {
  if (site.dtypeOf(a) === 'float32') {
    const attributes = { [transposed === 'a' ? 'transA' : 'transB']: flag(true) };
    return site.g.op('FusedMatMul', [a, b], attributes, { domain: 'com.microsoft' });
  }
  return transposed === 'a'
    ? site.g.op('MatMul', [swapLastTwo(site, a), b])
    : site.g.op('MatMul', [a, swapLastTwo(site, b)]);
}

/** Everything but the last axis becomes one: [.., K] → [rows, K]. */
function asRows(site: GradientSite, name: string): string {
  const last = site.g.shapeOf(name).at(-1)!;
  if (site.g.rankOf(name) === 2) return name;
  if (typeof last === 'number') return site.g.op('Reshape', [name, site.g.int64s([-1, last])]);
  return site.g.op('Flatten', [name], { axis: attr.int(-1) });
}

const matMul: GradientRule = (site) => {
  const { g, dy } = site;
  const ranks = [site.dims(0).length, site.dims(1).length] as const;
  const [a, b] = site.x as [string, string];
  // Vectors are rows on the left and columns on the right; dY gets back the axis that the product dropped.
  const matrixA = () => (ranks[0] === 1 ? lift(site, a, 0) : a);
  const matrixB = () => (ranks[1] === 1 ? lift(site, b, 1) : b);
  const matrixY = () => {
    const columns = ranks[1] === 1 ? lift(site, dy, -1) : dy;
    return ranks[0] === 1 ? lift(site, columns, -2) : columns;
  };
  return [
    () => {
      const [right, y] = [matrixB(), matrixY()];
      if (g.rankOf(y) === 2 && g.rankOf(right) === 2) return g.op('Gemm', [y, right], { transB: flag(true) });
      return product(site, [y, right], 'b');
    },
    () => {
      const [left, y] = [matrixA(), matrixY()];
      const gradient =
        ranks[1] <= 2 && g.rankOf(left) === g.rankOf(y)
          ? // One matrix for all batches: a single product sums over them.
            g.op('Gemm', [asRows(site, left), asRows(site, y)], { transA: flag(true) })
          : product(site, [left, y], 'a');
      return ranks[1] === 1 ? g.op('Squeeze', [gradient, g.int64s([-1])]) : gradient;
    },
  ];
};

export const linearGradients: GradientRules = { Gemm: gemm, MatMul: matMul };
