import type { Columns } from './columns.js';
import type { Feature, Port, Signature } from './signature.js';
import type { Target } from './target.js';

/** The model input that takes all numbers, [N, columns]. */
export const numbersInput = 'features';

/** What a model trained on these columns takes and gives; ranges and categories are those of the rows `train`. */
export function describeSignature(
  { features }: Columns,
  target: Target,
  train: readonly number[],
  name: string,
  digest: string,
): Signature {
  let numbers = 0;
  const described = features.map((column): Feature => {
    if (column.type === 'category') {
      const categories = [...new Set(train.map((row) => column.values[row]!))].sort();
      return { name: column.name, type: 'category', input: column.name, column: 0, categories };
    }
    let [min, max] = [Infinity, -Infinity];
    for (const row of train) {
      min = Math.min(min, column.values[row]!);
      max = Math.max(max, column.values[row]!);
    }
    return { name: column.name, type: 'number', input: numbersInput, column: numbers++, min, max };
  });
  const inputs: Port[] = [
    ...(numbers > 0 ? [{ name: numbersInput, dtype: 'float32' as const, shape: ['N', numbers] }] : []),
    ...described
      .filter((feature) => feature.type === 'category')
      .map((feature): Port => ({ name: feature.name, dtype: 'string', shape: ['N', 1] })),
  ];
  const outputs: Port[] =
    target.task === 'classification'
      ? [
          { name: 'label', dtype: 'string', shape: ['N'] },
          { name: 'probabilities', dtype: 'float32', shape: ['N', target.labels.length] },
        ]
      : [{ name: 'prediction', dtype: 'float32', shape: ['N'] }];
  return {
    schemaVersion: 1,
    name,
    task: target.task,
    features: described,
    inputs,
    outputs,
    target: { name: target.name, ...(target.task === 'classification' && { labels: target.labels }) },
    data: { digest },
  };
}
