import type { GraphBuilder } from '../../../src/ir/builder.js';
import { attr, type Attributes } from '../../../src/ir/graph.js';
import { tensor } from '../../../src/ir/tensor.js';
import type { GradientCase } from '../gradient-cases.js';

interface More {
  readonly attributes?: Attributes;
  /** Inputs behind those that are differentiated. */
  readonly rest?: (g: GraphBuilder) => string[];
  readonly outputs?: number;
  readonly opset?: number;
  readonly sized?: boolean;
}

/** onnxruntime has these operators in single precision. */
function of(op: string, what: string, shapes: readonly (readonly number[])[], more: More = {}): GradientCase {
  const { attributes = {}, rest = () => [], outputs = 1, opset, sized } = more;
  const [domain, name] = op.includes(':') ? (op.split(':') as [string, string]) : ['', op];
  return {
    what,
    shapes,
    single: true,
    ...(opset !== undefined && { opset }),
    ...(sized && { sized }),
    domain: (value) => 0.7 * value,
    build: (g, x) => {
      const all = g.ops(name, [...x, ...rest(g)], attributes, { domain, outputs });
      return outputs === 1 ? all : [all[0]!, all.at(-1)!];
    },
  };
}

const { int, float } = attr;
const attention = { opset: 23, sized: true };
const microsoft = { sized: true };
const rows = [2, 2, 4];
const four = [1, 2, 2, 2];

export const expansionCases: Readonly<Record<string, readonly GradientCase[]>> = {
  Attention: [
    of('Attention', 'heads apart', [four, four, four], attention),
    of('Attention', 'heads that share keys, each step sees those before it', [rows, [2, 2, 2], [2, 2, 2]], {
      ...attention,
      attributes: { q_num_heads: int(2), kv_num_heads: int(1), is_causal: int(1) },
    }),
    of('Attention', 'a mask of truth values', [four, four, four], {
      ...attention,
      rest: (g) => [g.constant(tensor('bool', [2, 2], [1, 0, 1, 1]))],
    }),
    of('Attention', 'scores that are added to', [four, four, four], {
      ...attention,
      rest: (g) => [g.constant(tensor('float32', [2, 2], [0.5, -1, 0, 2]))],
    }),
    of('Attention', 'bounded scores', [four, four, four], {
      ...attention,
      attributes: { softcap: float(1.5) },
    }),
  ],
  LRN: [
    of('LRN', 'three channels', [[2, 4, 2, 1]], {
      attributes: { size: int(3), alpha: float(0.8) },
      sized: true,
    }),
    of('LRN', 'more channels than there are', [[1, 3, 2, 2]], {
      attributes: { size: int(5), alpha: float(0.8), beta: float(1), bias: float(2) },
      sized: true,
    }),
  ],
  SimplifiedLayerNormalization: [of('SimplifiedLayerNormalization', 'rows', [[2, 3], [3]], { sized: true })],
  'com.microsoft:MultiHeadAttention': [
    of('com.microsoft:MultiHeadAttention', 'plain', [rows, rows, rows], {
      ...microsoft,
      attributes: { num_heads: int(2) },
    }),
    of('com.microsoft:MultiHeadAttention', 'offsets and a mask of keys', [rows, rows, rows, [12]], {
      ...microsoft,
      attributes: { num_heads: int(2) },
      rest: (g) => [g.constant(tensor('int32', [2, 2], [1, 1, 1, 0]))],
    }),
  ],
  'com.microsoft:Attention': [
    of('com.microsoft:Attention', 'plain', [[2, 2, 4], [4, 12], [12]], {
      ...microsoft,
      attributes: { num_heads: int(2) },
    }),
    of('com.microsoft:Attention', 'each step sees those before it', [[1, 3, 2], [2, 6], [6]], {
      ...microsoft,
      attributes: { num_heads: int(1), unidirectional: int(1) },
    }),
  ],
  'com.microsoft:GroupQueryAttention': [
    of(
      'com.microsoft:GroupQueryAttention',
      'two queries for each key',
      [
        [1, 2, 32],
        [1, 2, 16],
        [1, 2, 16],
      ],
      {
        ...microsoft,
        attributes: { num_heads: int(4), kv_num_heads: int(2) },
        rest: (g) => ['', '', g.constant(tensor('int32', [1], [1])), g.scalar(2, 'int32')],
      },
    ),
    of(
      'com.microsoft:GroupQueryAttention',
      'bounded scores',
      [
        [1, 2, 16],
        [1, 2, 8],
        [1, 2, 8],
      ],
      {
        ...microsoft,
        attributes: { num_heads: int(2), kv_num_heads: int(1), scale: float(0.5), softcap: float(1.5) },
        rest: (g) => ['', '', g.constant(tensor('int32', [1], [1])), g.scalar(2, 'int32')],
      },
    ),
  ],
  'com.microsoft:SkipLayerNormalization': [
    of('com.microsoft:SkipLayerNormalization', 'with the sum', [[1, 2, 3], [1, 2, 3], [3], [3], [3]], {
      outputs: 4,
    }),
  ],
  'com.microsoft:SkipSimplifiedLayerNormalization': [
    of('com.microsoft:SkipSimplifiedLayerNormalization', 'with the sum', [[1, 2, 3], [1, 2, 3], [3], [3]], {
      outputs: 4,
      sized: true,
    }),
  ],
  'com.microsoft:FastGelu': [
    of('com.microsoft:FastGelu', 'plain', [[2, 3]]),
    of('com.microsoft:FastGelu', 'an offset', [[2, 3], [3]]),
  ],
  'com.microsoft:BiasGelu': [of('com.microsoft:BiasGelu', 'an offset', [[2, 3], [3]])],
  'com.microsoft:FusedMatMul': [
    of(
      'com.microsoft:FusedMatMul',
      'turned',
      [
        [2, 3, 2],
        [2, 4, 3],
      ],
      {
        attributes: { transA: int(1), transB: int(1), alpha: float(0.5) },
      },
    ),
  ],
};
