import type { CategoryColumn, Column, Columns } from './columns.js';
import type { ArrayColumn } from './arrays/read-arrays.js';
import type { ImageColumn } from './images/open-images.js';
import { fillOf } from './missing.js';
import { headsOf, portsOf } from './heads.js';
import type { Feature, Port, Signature, TargetFacts } from './signature.js';
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
  arrays: readonly (ArrayColumn | ImageColumn)[] = [],
  others: readonly Target[] = [],
): Signature {
  return assembleSignature(
    [
      ...features.map((column) => observe(column, train)),
      ...arrays.map((column): Observed => {
        const { name: array, shape } = column;
        if ('spec' in column)
          return { name: array, type: 'image', shape, image: { ...column.spec, decoder: column.decoder } };
        const { ids } = column;
        return { name: array, type: 'array', shape, ...(ids !== undefined && { ids }) };
      }),
    ],
    target,
    name,
    digest,
    others,
  );
}

/** What the rows of the train split say of a feature. */
export type Observed = Omit<Feature, 'input' | 'column'>;

function observe(column: Column, train: readonly number[]): Observed {
  const { name, type } = column;
  const missing = describeMissing(column, train);
  if (type === 'category') {
    const categories = [...new Set(train.map((row) => present(column, row, missing)))].sort();
    return { name, type, categories, ...missing };
  }
  let [min, max] = [Infinity, -Infinity];
  for (const row of train) {
    if (column.values[row]! < min) min = column.values[row]!;
    if (column.values[row]! > max) max = column.values[row]!;
  }
  return { name, type, ...(min <= max && { min, max }), ...missing };
}

export function assembleSignature(
  features: readonly Observed[],
  target: Pick<Target, 'task' | 'name'> & { readonly labels?: readonly string[] },
  name: string,
  digest: string,
  others: readonly Target[] = [],
): Signature {
  let numbers = 0;
  const described = features.map(({ name: feature, type, ...facts }): Feature => {
    const place =
      type === 'number' ? { input: numbersInput, column: numbers++ } : { input: feature, column: 0 };
    return { name: feature, type, ...place, ...facts };
  });
  const inputs: Port[] = [
    ...(numbers > 0 ? [{ name: numbersInput, dtype: 'float32' as const, shape: ['N', numbers] }] : []),
    ...described
      .filter(({ type }) => type !== 'number')
      .map(({ name: input, shape, ids, image }): Port =>
        shape
          ? {
              name: input,
              dtype: image ? 'uint8' : ids === undefined ? 'float32' : 'int64',
              shape: ['N', ...shape],
            }
          : { name: input, dtype: 'string', shape: ['N', 1] },
      ),
  ];
  const factsOf = ({ name: of, task, labels }: Pick<Target, 'task' | 'name' | 'labels'>): TargetFacts => ({
    name: of,
    task,
    ...(labels && { labels }),
  });
  const targets = {
    task: target.task,
    target: { name: target.name, ...(target.labels && { labels: target.labels }) },
    ...(others.length > 0 && { others: others.map(factsOf) }),
  };
  return {
    schemaVersion: 1,
    name,
    task: targets.task,
    features: described,
    inputs,
    outputs: headsOf(targets).flatMap(portsOf),
    target: targets.target,
    ...(targets.others && { others: targets.others }),
    data: { digest },
  };
}

/** A feature may be missing in a request where it is in the data, or where the config says what to do then. */
function describeMissing(column: Column, train: readonly number[]): Pick<Feature, 'missing'> {
  const { missing, named, written } = column;
  return missing > 0 || named ? { missing: { fill: fillOf(column, train), written } } : {};
}

function present(column: CategoryColumn, row: number, { missing }: Pick<Feature, 'missing'>): string {
  const text = column.values[row]!;
  return missing && column.written.includes(text) ? String(missing.fill) : text;
}
