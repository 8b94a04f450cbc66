import { emitBatchStatistics } from '../../../src/ir/batch-statistics.js';
import { attr, type Attributes } from '../../../src/ir/graph.js';
import type { GradientCase } from '../gradient-cases.js';

const positive = (value: number) => Math.abs(value) + 0.2;

const of =
  (op: string, more: Partial<GradientCase> = {}) =>
  (what: string, shapes: readonly (readonly number[])[], attributes: Attributes = {}): GradientCase => ({
    what,
    shapes,
    build: (g, x) => g.ops(op, x, attributes),
    ...more,
  });

const frozen = of('BatchNormalization', { domain: positive });
const layer = of('LayerNormalization');
const rootMeanSquare = of('RMSNormalization', { opset: 23 });
const instance = of('InstanceNormalization', { sized: true });
const group = of('GroupNormalization', { sized: true, single: true });
const lp = of('LpNormalization');

const byBatch = (what: string, shape: readonly number[]): GradientCase => ({
  what: `by the batch's statistics, ${what}`,
  shapes: [shape, [shape[1]!], [shape[1]!]],
  build: (g, [x, scale, bias]) => {
    const { mean, variance } = emitBatchStatistics(g, x!);
    return g.ops('BatchNormalization', [x!, scale!, bias!, mean, variance]);
  },
});

export const normalizationCases: Readonly<Record<string, readonly GradientCase[]>> = {
  BatchNormalization: [
    frozen('rows, all five inputs trained', [[3, 2], [2], [2], [2], [2]]),
    frozen('images', [[2, 2, 2, 3], [2], [2], [2], [2]], { epsilon: attr.float(0.5) }),
    byBatch('rows', [4, 2]),
    byBatch('sequences', [2, 2, 4]),
    byBatch('images', [3, 2, 2, 3]),
    byBatch('volumes', [2, 1, 2, 2, 3]),
    {
      what: 'by its own statistics, which are used elsewhere too',
      shapes: [[3, 2, 2], [2], [2]],
      build: (g, [x, scale, bias]) => {
        const { mean, variance } = emitBatchStatistics(g, x!);
        return [g.op('BatchNormalization', [x!, scale!, bias!, mean, variance]), mean, variance];
      },
    },
    {
      what: "by another value's statistics",
      shapes: [[3, 2, 2], [2], [2], [2, 2, 3]],
      build: (g, [x, scale, bias, other]) => {
        const { mean, variance } = emitBatchStatistics(g, other!);
        return g.ops('BatchNormalization', [x!, scale!, bias!, mean, variance]);
      },
    },
  ],
  LayerNormalization: [
    layer('the last axis', [[2, 2, 4], [4], [4]]),
    layer('no bias', [[3, 4], [4]], { epsilon: attr.float(0.1) }),
    layer(
      'two axes',
      [
        [2, 2, 3],
        [2, 3],
        [2, 3],
      ],
      { axis: attr.int(1) },
    ),
    layer('a scale that is broadcast', [[2, 2, 3], [3], [1]], { axis: attr.int(-2) }),
  ],
  RMSNormalization: [
    rootMeanSquare('the last axis', [[2, 2, 4], [4]]),
    rootMeanSquare(
      'two axes',
      [
        [2, 2, 3],
        [2, 3],
      ],
      { axis: attr.int(1), epsilon: attr.float(0.1) },
    ),
  ],
  InstanceNormalization: [
    instance('sequences', [[2, 2, 4], [2], [2]]),
    instance('images', [[1, 3, 2, 3], [3], [3]], { epsilon: attr.float(0.1) }),
  ],
  GroupNormalization: [
    group('two groups', [[2, 4, 3], [4], [4]], { num_groups: attr.int(2) }),
    group('images, one group', [[1, 2, 2, 3], [2], [2]], { num_groups: attr.int(1) }),
  ],
  LpNormalization: [
    lp('Euclidean', [[2, 3]]),
    lp('sum of magnitudes', [[2, 3]], { p: attr.int(1), axis: attr.int(0) }),
  ],
};
