import type { GraphBuilder } from '../../../src/ir/builder.js';
import { attr, type Attributes } from '../../../src/ir/graph.js';
import type { GradientCase } from '../gradient-cases.js';

const of =
  (op: string, attributes: Attributes = {}) =>
  (g: GraphBuilder, x: string[]): string[] =>
    g.ops(op, x, attributes);

const int = (value: number) => attr.int(value);

const gemm = (what: string, shapes: number[][], attributes: Attributes = {}): GradientCase => ({
  what,
  shapes,
  build: of('Gemm', attributes),
});
const matMul = (what: string, ...shapes: number[][]): GradientCase => ({ what, shapes, build: of('MatMul') });

/** Products of matrices. */
export const linearCases: Readonly<Record<string, readonly GradientCase[]>> = {
  Gemm: [
    gemm('plain', [[2, 3], [3, 2], [2]]),
    gemm('no bias', [
      [2, 3],
      [3, 2],
    ]),
    gemm(
      'transA',
      [
        [3, 2],
        [3, 2],
        [2, 1],
      ],
      { transA: int(1) },
    ),
    gemm('transB', [[2, 3], [2, 3], []], { transB: int(1) }),
    gemm(
      'transA and transB',
      [
        [3, 2],
        [4, 3],
        [2, 4],
      ],
      { transA: int(1), transB: int(1) },
    ),
    gemm(
      'alpha and beta',
      [
        [2, 3],
        [3, 2],
        [1, 2],
      ],
      { alpha: attr.float(0.5), beta: attr.float(2) },
    ),
    {
      what: 'a square of its input',
      shapes: [[3, 3]],
      build: (g, [x]) => g.ops('Gemm', [x!, x!], { transB: int(1) }),
    },
  ],
  MatMul: [
    matMul('matrices', [2, 3], [3, 4]),
    matMul('batches', [2, 2, 3], [2, 3, 2]),
    matMul('one matrix for all batches', [2, 2, 3], [3, 2]),
    matMul('one matrix on the left', [2, 3], [2, 3, 2]),
    matMul('broadcast batches', [2, 1, 2, 3], [3, 3, 2]),
    matMul('row vector', [3], [3, 2]),
    matMul('column vector', [2, 3], [3]),
    matMul('two vectors', [3], [3]),
    matMul('row vector and batches', [3], [2, 3, 2]),
    matMul('batches and column vector', [2, 2, 3], [3]),
    // Products without transposed copies are for single precision alone.
    ...[
      matMul('single batches', [2, 2, 3], [2, 3, 2]),
      matMul('single matrix for all batches', [2, 2, 3], [3, 2]),
      matMul('single matrix on the left', [2, 3], [2, 3, 2]),
      matMul('single broadcast batches', [2, 1, 2, 3], [3, 3, 2]),
    ].map((single) => ({ ...single, single: true })),
  ],
};
