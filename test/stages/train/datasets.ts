import type { Dataset, SplitName, Table } from '../../../src/data/dataset.js';
import type { NdArray } from '../../../src/ir/tensor.js';

const splits = (table: Table): Readonly<Record<SplitName, Table>> => ({
  train: table,
  validation: table,
  test: table,
});

/** Two numbers, of which the second never changes, and a colour; three classes. */
export function mixedDataset(): Dataset {
  const inputs: Record<string, NdArray> = {
    features: { dtype: 'float32', dims: [3, 2], data: Float32Array.of(1, 7, 2, 7, 6, 7) },
    colour: { dtype: 'string', dims: [3, 1], data: ['red', 'blue', 'red'] },
  };
  const target = { dtype: 'int64' as const, dims: [3], data: BigInt64Array.of(0n, 1n, 2n) };
  return {
    digest: 'd'.repeat(64),
    signature: {
      schemaVersion: 1,
      name: 'mixed',
      task: 'classification',
      features: [
        { name: 'size', type: 'number', input: 'features', column: 0, min: 1, max: 6 },
        { name: 'colour', type: 'category', input: 'colour', column: 0, categories: ['blue', 'red'] },
        { name: 'constant', type: 'number', input: 'features', column: 1, min: 7, max: 7 },
      ],
      inputs: [
        { name: 'features', dtype: 'float32', shape: ['N', 2] },
        { name: 'colour', dtype: 'string', shape: ['N', 1] },
      ],
      outputs: [
        { name: 'label', dtype: 'string', shape: ['N'] },
        { name: 'probabilities', dtype: 'float32', shape: ['N', 3] },
      ],
      target: { name: 'kind', labels: ['a', 'b', 'c'] },
      data: { digest: 'd'.repeat(64) },
    },
    statistics: { features: { mean: Float32Array.of(3, 7), deviation: Float32Array.of(2, 0) } },
    splits: splits({ rows: 3, lines: Uint32Array.of(2, 3, 4), inputs, target }),
  };
}

/** One number, and an amount to predict. */
export function amountDataset(): Dataset {
  const mixed = mixedDataset();
  const inputs: Record<string, NdArray> = {
    features: { dtype: 'float32', dims: [3, 1], data: Float32Array.of(1, 3, 5) },
  };
  const target = { dtype: 'float32' as const, dims: [3, 1], data: Float32Array.of(2, 4, 6) };
  return {
    ...mixed,
    signature: {
      ...mixed.signature,
      task: 'regression',
      features: [{ name: 'size', type: 'number', input: 'features', column: 0, min: 1, max: 5 }],
      inputs: [{ name: 'features', dtype: 'float32', shape: ['N', 1] }],
      outputs: [{ name: 'prediction', dtype: 'float32', shape: ['N'] }],
      target: { name: 'amount' },
    },
    statistics: { features: { mean: Float32Array.of(3), deviation: Float32Array.of(2) } },
    splits: splits({ rows: 3, lines: Uint32Array.of(2, 3, 4), inputs, target }),
  };
}
