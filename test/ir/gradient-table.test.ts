import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { expansions } from '../../src/ir/gradient/expansions.js';
import { gradientRules } from '../../src/ir/gradient.js';

/** As test/fixtures/onnx/list-operators.py writes it. */
const { onnx, operators } = JSON.parse(
  readFileSync(new URL('../fixtures/onnx/operators.json', import.meta.url), 'utf8'),
) as { onnx: string; operators: Record<string, { carries: boolean }> };

/** Operators that carry real numbers and are refused by name in training, and why nobody has missed them yet. */
const refused: Readonly<Record<string, readonly string[]>> = {
  'training losses, which maas has as its own': ['NegativeLogLikelihoodLoss', 'SoftmaxCrossEntropyLoss'],
  'sequences and optional values': ['OptionalGetElement'],
  'regions and grids of images': [
    'AffineGrid',
    'CenterCropPad',
    'Col2Im',
    'DeformConv',
    'GridSample',
    'MaxRoiPool',
    'MaxUnpool',
    'RoiAlign',
  ],
  'signals and matrices': ['DFT', 'Det', 'MelWeightMatrix', 'STFT'],
  'random numbers, quantization and whole numbers': [
    'Bernoulli',
    'BitCast',
    'DynamicQuantizeLinear',
    'EyeLike',
    'Hardmax',
    'Mod',
    'OneHot',
    'RandomNormalLike',
    'RandomUniformLike',
    'Range',
  ],
  'newer than most files': [
    'CausalConvWithState',
    'CumProd',
    'LinearAttention',
    'RotaryEmbedding',
    'SwiGLU',
    'TensorScatter',
  ],
  'rarely between a weight and a loss': [
    'Compress',
    'GlobalLpPool',
    'LpPool',
    'MeanVarianceNormalization',
    'ReduceLogSum',
    'ReduceProd',
    'ReverseSequence',
    'ScatterND',
    'Unique',
  ],
};

it(`says of each operator of onnx ${onnx} that carries real numbers whether it can be trained through`, () => {
  const known = new Set([
    ...Object.keys(gradientRules),
    ...Object.keys(expansions),
    ...Object.values(refused).flat(),
  ]);
  const carrying = Object.keys(operators).filter((op) => operators[op]!.carries);
  expect(carrying.filter((op) => !known.has(op))).toEqual([]);
  const able = new Set([...Object.keys(gradientRules), ...Object.keys(expansions)]);
  expect(
    Object.values(refused)
      .flat()
      .filter((op) => able.has(op) || !operators[op]?.carries),
  ).toEqual([]);
});
